package service

import (
	"context"
	"testing"

	"godwit/internal/api"
	"godwit/internal/job"
)

// A table that was copied is not finished while the stream goes on with it.
func TestTables_when_the_stream_goes_on_with_them(t *testing.T) {
	w := newWorld(t)
	end := make(chan struct{})
	w.engine.set("shop", &script{
		tasks: append(copies("a", "b"), job.Task{ID: "stream after copies", Kind: job.Stream, AfterCopies: true}),
		run: func(ctx context.Context, id string, _ uint64) error {
			if id != "stream after copies" {
				return nil
			}
			select {
			case <-end:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	w.submit(snapshotFile("shop"))
	stand := func(what string, want api.Status) {
		t.Helper()
		w.await("shop", what, func(api.Job) bool {
			page, err := w.Tables(t.Context(), "shop", api.ListTablesParams{})
			return err == nil && page.Total == 2 && page.Items[0].Standing.Status == want && page.Items[1].Standing.Status == want
		})
	}
	w.await("shop", "both copied", func(v api.Job) bool { return v.Tasks.Finished == 3 })
	stand("tables that stream", api.StatusRunning)
	close(end)
	w.stands("shop", api.StatusFinished)
	stand("tables that are done", api.StatusFinished)
}
