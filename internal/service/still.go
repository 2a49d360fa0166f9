package service

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// This file has what is special where nothing lives (Options.Still).

// Keeps reports whether a state folder is, or was, a server's.
func Keeps(dir string) bool { return exists(filepath.Join(dir, databaseName)) }

// begun refuses a folder that no server ever had, unless it may be made one, and that of
// another user: what root leaves behind there the server could not read.
func (f *folder) begun(begin bool) error {
	if !f.still {
		return nil
	}
	st, err := os.Stat(filepath.Join(f.dir, databaseName))
	switch {
	case err == nil:
		return f.ours(st)
	case !os.IsNotExist(err):
		return f.broken(err)
	case begin:
		return nil
	}
	return fault.New(fault.StateBroken, "no server has this folder, and none ever had").At("%s", f.dir).
		Try("give --state the folder of a server; godwit status --state DIR shows jobs of godwit run")
}

func (f *folder) ours(st os.FileInfo) error {
	owner, known := st.Sys().(*syscall.Stat_t)
	if !known || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return fault.New(fault.StateBroken, "the folder is another user's (%d)", owner.Uid).At("%s", f.dir).Try("run the command as the user that godwit serve runs as")
}

// lastKnown fills in how far jobs were when they were last at work, as their own
// folders have it.
func (s *Service) lastKnown(ctx context.Context) {
	for _, j := range s.all() {
		spec := &job.Spec{Name: j.name, Kind: job.Kind(j.card.kind)}
		r, err := s.o.Engine.Status(ctx, spec, engine.Options{State: s.o.Dir, Log: s.o.Log})
		if err != nil || len(r.Jobs) != 1 || r.Jobs[0].Progress == nil {
			continue // what is not known is not shown
		}
		j.progress = still(*r.Jobs[0].Progress)
	}
}

// still is a progress without what was true only while it was made: how fast it went,
// and how far behind. What was counted stays.
func still(p watch.Progress) *watch.Progress {
	p.Rate, p.ByteRate, p.Left, p.Brake, p.Stages, p.Active = nil, nil, nil, nil, nil, nil
	p.KeptFor, p.Reach, p.Memory = nil, nil, watch.Memory{}
	if p.Changes != nil {
		c := *p.Changes
		c.Rate, c.Lag, c.Ahead, c.CatchUp, c.Falling, c.LostIn = nil, watch.Lag{State: watch.Unknown}, nil, nil, nil, nil
		p.Changes = &c
	}
	sinks := make([]watch.Sink, len(p.Sinks))
	for i, k := range p.Sinks {
		k.Lag, k.Queue = watch.Lag{State: watch.Unknown}, 0
		sinks[i] = k
	}
	p.Sinks = sinks
	if p.Files != nil {
		f := *p.Files
		f.Rate, f.ListRate = nil, nil
		p.Files = &f
	}
	return &p
}
