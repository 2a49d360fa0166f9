package file

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

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
// and one small object is written to the target and deleted again. Nothing is written
// where a run would be refused because source and sink overlap.
func (e Engine) Check(ctx context.Context, s *job.Spec, o engine.Options) (watch.CheckReport, error) {
	var c checker
	j := newOpened(s, o)
	ends := []struct {
		name  string
		v     option.Values
		store *store.Store
		look  func(*checker, context.Context, store.Store)
	}{{"source", s.Files.Source, &j.source, j.checkSource}, {"sink", s.Files.Sink, &j.target, j.checkTarget}}
	for _, end := range ends {
		st, err := e.store(ctx, j, end.v)
		if err != nil {
			c.note(end.name, "connection", "", at(err, end.v))
			continue
		}
		*end.store = st
	}
	if err := j.overlap(); err != nil {
		c.note("sink", "place", "", err)
	} else {
		for _, end := range ends {
			if *end.store != nil {
				end.look(&c, ctx, *end.store)
			}
		}
	}
	if err := j.close(); err != nil {
		c.note("sink", "connection", "closing", err)
	}
	return c.CheckReport, ctx.Err()
}

func (j *opened) checkSource(c *checker, ctx context.Context, s store.Store) {
	if l := j.spec.Files.List; l != nil {
		c.note("source", "list file", l.File, j.checkList(l))
	}
	first, entries, err := j.firstChosen(ctx, s)
	if !c.note("source", "list", where(s), err) {
		return
	}
	if first == nil {
		detail := "nothing to read: it is empty"
		if entries > 0 {
			detail = fmt.Sprintf("nothing to read: the job chooses none of the first %d entries", entries)
		}
		c.note("source", "read", detail, nil)
		return
	}
	r, _, err := s.Open(ctx, first.Key, store.Read{N: min(1, first.Size)})
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(r, 1))
		err = errors.Join(err, r.Close())
	}
	c.note("source", "read", "the first object", err)
}

// checkList reads the first key that a list file names.
func (j *opened) checkList(l *job.List) error {
	for _, err := range j.named(l) {
		return err
	}
	return nil
}

// probePrefix begins the name of what check writes.
const probePrefix = "godwit-check-"

func (j *opened) checkTarget(c *checker, ctx context.Context, s store.Store) {
	if !c.note("sink", "list", where(s), listable(ctx, s)) {
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
	j.checkAborts(c, ctx, s)
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

// checkAborts warns of rules by which the target drops large objects that are on
// their way. Where the rules are not known there is nothing to say: most services
// have none.
func (j *opened) checkAborts(c *checker, ctx context.Context, s store.Store) {
	a, ok := s.(store.Aborter)
	if !ok {
		return
	}
	rules, err := a.AbortRules(ctx)
	if err != nil {
		return
	}
	f := watch.Finding{On: "sink", Name: "lifecycle", Detail: "unfinished uploads are kept long enough"}
	if r, hasty := store.Hasty(rules); hasty {
		f.Detail, f.Warn = "unfinished uploads are dropped early", true
		f.Fault = fault.New(fault.CheckFailed, "%s: a large object that is interrupted for longer begins again", r).At("%s", where(s)).
			Try("set its DaysAfterInitiation to %d or more", store.AbortDaysLeast)
	}
	c.Findings = append(c.Findings, f)
}
