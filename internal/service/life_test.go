package service

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"godwit/internal/api"
)

// lines are what a server logs.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestLife_when_it_logs(t *testing.T) {
	w := newWorld(t)
	w.close()
	log, o := &lines{}, w.options()
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
	if text := log.String(); !strings.Contains(text, "the job is taken up") || !strings.Contains(text, "job=shop") {
		t.Errorf("%s", text)
	}
}

func TestLife_when_a_command_was_heard(t *testing.T) {
	w := newWorld(t)
	w.submit(tableFile("shop"))
	w.stands("shop", api.StatusRunning)
	for n, act := range []api.ActAct{api.ActActPause, api.ActActResume, api.ActActPause} {
		if _, err := w.Act(t.Context(), ana, "shop", api.Act{Act: act, Tasks: []string{"stream"}}); err != nil {
			t.Fatal(err)
		}
		want := map[api.ActAct]api.Status{api.ActActPause: api.StatusPaused, api.ActActResume: api.StatusRunning}[act]
		// The last one may be in a state that was kept before it was known to be heard.
		w.await("shop", string(want)+", and no older command is left", func(v api.Job) bool {
			left, err := w.folder.commands("shop")
			last := int64(n + 1)
			return v.Standing.Status == want && err == nil && (len(left) == 0 || len(left) == 1 && left[0].seq == last)
		})
	}
}
