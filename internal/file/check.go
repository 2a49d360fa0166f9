package file

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/watch"
)

// checker collects findings.
type checker struct{ watch.CheckReport }

func (c *checker) note(on, name, detail string, err error) bool {
	f := watch.Finding{On: on, Name: name, Detail: detail}
	if err != nil {
		f.Fault = fault.Of(err)
	}
	c.Findings = append(c.Findings, f)
	return err == nil
}

// Check looks at everything a run needs: both stores are reached, listed and read,
// and one small object is written to the target and deleted again.
func (e Engine) Check(ctx context.Context, s *job.Spec, o engine.Options) (watch.CheckReport, error) {
	var c checker
	j := &opened{spec: s, slow: &slowed{}, log: o.Log, options: o}
	for _, end := range []struct {
		name string
		v    option.Values
		look func(*checker, context.Context, store.Store)
	}{{"source", s.Files.Source, j.checkSource}, {"sink", s.Files.Sink, j.checkTarget}} {
		st, err := e.store(ctx, j, end.v)
		if err != nil {
			c.note(end.name, "connection", "", at(err, end.v))
			continue
		}
		end.look(&c, ctx, st)
		if err := st.Close(); err != nil {
			c.note(end.name, "connection", "closing", err)
		}
	}
	return c.CheckReport, ctx.Err()
}

func (j *opened) checkSource(c *checker, ctx context.Context, s store.Store) {
	first, err := listOne(ctx, s)
	if !c.note("source", "list", where(s), err) {
		return
	}
	if first == nil {
		c.note("source", "read", "nothing to read: it is empty", nil)
		return
	}
	r, _, err := s.Open(ctx, first.Key, store.Read{N: min(1, first.Size)})
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(r, 1))
		err = errors.Join(err, r.Close())
	}
	c.note("source", "read", "the first object", err)
	j.checkRules(c, ctx, "source", s)
}

// probePrefix begins the name of what check writes.
const probePrefix = "godwit-check-"

func (j *opened) checkTarget(c *checker, ctx context.Context, s store.Store) {
	if _, err := listOne(ctx, s); !c.note("sink", "list", where(s), err) {
		return
	}
	name := make([]byte, 8)
	_, _ = rand.Read(name) // never fails
	key := probePrefix + hex.EncodeToString(name)
	data := []byte("written and deleted by godwit check\n")
	_, err := s.Put(ctx, key, store.Body{Size: int64(len(data)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data[off:])), nil
	}}, store.PutOptions{})
	if !c.note("sink", "write", "a small object under "+key, err) {
		return
	}
	c.note("sink", "read back", "", readBack(ctx, s, key, data))
	c.note("sink", "delete", "", s.Delete(context.WithoutCancel(ctx), key))
	j.checkRules(c, ctx, "sink", s)
}

func readBack(ctx context.Context, s store.Store, key string, want []byte) error {
	r, _, err := s.Open(ctx, key, store.Read{})
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err == nil && !bytes.Equal(got, want) {
		err = fault.New(fault.Corrupt, "what was read is not what was written")
	}
	return err
}

// rules is what stores of objects know of their own housekeeping.
type rules interface {
	// AbortDays is after how many days the store drops uploads that were not
	// completed; 0: never.
	AbortDays(ctx context.Context) (int, error)
}

// abortLeast is how many days an upload of a large object should live: one that is
// dropped earlier cannot be taken up again after a long stop.
const abortLeast = 7

func (j *opened) checkRules(c *checker, ctx context.Context, on string, s store.Store) {
	r, ok := s.(rules)
	if !ok || on != "sink" {
		return
	}
	days, err := r.AbortDays(ctx)
	f := watch.Finding{On: on, Name: "lifecycle", Warn: true}
	switch {
	case err != nil:
		f.Detail = "its rules cannot be read; large objects are taken up again as long as it keeps their parts"
	case days > 0 && days < abortLeast:
		f.Detail = fmt.Sprintf("parts of uploads are dropped after %d days", days)
		f.Fault = fault.New(fault.StoreRefused, "a large object that is interrupted for %d days begins again", days).
			Try("raise AbortIncompleteMultipartUpload to %d days or more", abortLeast)
	default:
		f.Detail = strings.TrimSpace("parts of uploads are kept long enough")
	}
	c.Findings = append(c.Findings, f)
}
