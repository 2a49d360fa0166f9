package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/store"
	"godwit/internal/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listed is a job whose list file has the given text, and whose source has the
// objects a to z.
func listed(t *testing.T, text string, before func(context.Context, mem.Call) error) *opened {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mem.New(mem.Options{Before: before})
	for c := 'a'; c <= 'z'; c++ {
		key := string(c)
		body := store.Body{Size: 1, Open: func(off int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(key[off:])), nil }}
		if _, err := s.Put(t.Context(), key, body, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return &opened{spec: &job.Spec{File: filepath.Join(dir, "job.yaml")}, source: s}
}

func TestNamed_when_objects_are_there_and_not(t *testing.T) {
	j := listed(t, "a\nnone\n\nz\r\n", nil)
	got := map[string]int64{}
	for o, err := range j.named(&job.List{File: "list", Format: "lines"}) {
		if err != nil {
			t.Fatal(err)
		}
		got[o.Key] = o.Size
	}
	if fmt.Sprint(got) != "map[a:0 none:0 z:0]" {
		t.Errorf("%v", got)
	}
}

func TestNamed_when_the_reader_stops_or_there_is_no_list(t *testing.T) {
	many := strings.Repeat("a\nb\nc\n", 500)
	for range listed(t, many, nil).named(&job.List{File: "list"}) {
		break // goleak sees what is left running
	}
	j := listed(t, many, nil)
	var last error
	for _, err := range j.named(&job.List{File: "no such file"}) {
		last = err
	}
	if !fault.Has(last, fault.JobValue) || !strings.Contains(fault.Of(last).Where, "no such file") {
		t.Errorf("%v", last)
	}
}

func TestRest_when_every_changes(t *testing.T) {
	spec := func(every time.Duration) *job.Spec {
		return &job.Spec{Name: "a", Kind: job.KindFiles, Files: &job.Files{Every: every}}
	}
	l := newLive(spec(time.Hour))
	every, changed := l.get()
	if every != time.Hour {
		t.Fatal(every)
	}
	l.set(spec(time.Minute))
	select {
	case <-changed:
	default:
		t.Error("who rests is not told")
	}
	if l.interval() != time.Minute {
		t.Error(l.interval())
	}
}

func TestSilent_when_a_store_did_not_answer(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errSilent)
	if err := silent(ctx, context.Canceled); !fault.Has(err, fault.StoreUnreachable) {
		t.Errorf("%v", err)
	}
	if err := silent(t.Context(), store.ErrNotFound); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if got := where(mem.New(mem.Options{Where: "bucket"})); got != "bucket" {
		t.Error(got)
	}
}
