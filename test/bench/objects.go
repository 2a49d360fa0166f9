package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sys/unix"

	"godwit/test/servers/s3"
)

const (
	smallSize = 4 << 10
	largeSize = 100 << 20
	// turnLimit ends a rival that hangs.
	turnLimit = 10 * time.Minute
	target    = "target"

	godwitLabel = "godwit"
)

// objects is what workloads of file jobs share.
type objects struct {
	*bench
	gateway      *s3.Server
	programs     map[string]program
	small, large tree
	filled       map[string]bool // targets that hold a copy already
}

// fileWorkload is one workload of file jobs.
type fileWorkload struct {
	name, title, about string
	from, to           func(o *objects) place
	large, again       bool
}

// many reports whether each turn leaves a great many files behind.
func (f fileWorkload) many() bool { return !f.large && !f.again }

// fileWorkloads are in the order of the page.
func fileWorkloads() []fileWorkload {
	folder := func(o *objects) place { return place{dir: o.small.dir} }
	folderLarge := func(o *objects) place { return place{dir: o.large.dir} }
	bucket := func(name string) func(*objects) place { return func(*objects) place { return place{bucket: name} } }
	out := func(o *objects) place { return place{dir: filepath.Join(o.dir, "out", "copy")} }
	return []fileWorkload{
		{name: "up-small", title: "Small objects, folder to S3", from: folder, to: bucket(target)},
		{name: "s3-small", title: "Small objects, S3 to S3", from: bucket("source-small"), to: bucket(target)},
		{name: "again-up", title: "Nothing to do, folder to S3", again: true, from: folder, to: bucket("again-up-"),
			about: "The target has everything already, put there by the same program."},
		{name: "again-s3", title: "Nothing to do, S3 to S3", again: true, from: bucket("source-small"), to: bucket("again-s3-"),
			about: "The target has everything already, put there by the same program."},
		{name: "up-large", title: "Large objects, folder to S3", large: true, from: folderLarge, to: bucket(target)},
		{name: "s3-large", title: "Large objects, S3 to S3", large: true, from: bucket("source-large"), to: bucket(target)},
		{name: "local-small", title: "Small files, folder to folder", from: folder, to: out},
		{name: "local-large", title: "Large files, folder to folder", large: true, from: folderLarge, to: out},
	}
}

// openObjects makes the sources, starts the gateway and fills its buckets.
func (b *bench) openObjects(ctx context.Context) (o *objects, err error) {
	o = &objects{bench: b, programs: map[string]program{}, filled: map[string]bool{}}
	for name, build := range builds() {
		if !slices.ContainsFunc(rivals(), func(r rival) bool { return r.program == name && b.wanted(r.label) }) {
			continue
		}
		p := program{}
		if p.built, err = build(ctx); err != nil {
			p.absent = strings.TrimSpace(strings.ReplaceAll(err.Error(), "\n", " "))
		}
		o.programs[name] = p
	}
	trees := filepath.Join(b.dir, "objects")
	if err := os.MkdirAll(trees, 0o755); err != nil {
		return nil, err
	}
	if o.small, err = makeTree(trees, b.objects, smallSize); err != nil {
		return nil, err
	}
	if o.large, err = makeTree(trees, b.large, largeSize); err != nil {
		return nil, err
	}
	if o.gateway, err = s3.Launch("versitygw"); err != nil {
		return nil, err
	}
	if err := o.buckets(ctx); err != nil {
		return nil, errors.Join(err, o.gateway.Close())
	}
	return o, nil
}

// buckets makes what every workload starts from. The client that fills them is
// none of the contestants.
func (o *objects) buckets(ctx context.Context) error {
	for name, t := range map[string]tree{target: {}, "source-small": o.small, "source-large": o.large} {
		if err := o.gateway.Client().MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
			return err
		}
		if t.objects == 0 {
			continue
		}
		if err := o.upload(ctx, t, name); err != nil {
			return err
		}
		if err := compare(t.dir, o.folder(place{bucket: name})); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (o *objects) upload(ctx context.Context, t tree, bucket string) error {
	paths := make(chan string)
	failed := make([]error, 8)
	var all sync.WaitGroup
	for i := range failed {
		all.Go(func() {
			for path := range paths {
				if failed[i] != nil {
					continue
				}
				_, failed[i] = o.gateway.Client().FPutObject(ctx, bucket, path, filepath.Join(t.dir, path), minio.PutObjectOptions{PartSize: 16 << 20})
			}
		})
	}
	err := eachFile(t.dir, func(path string) error { paths <- path; return nil })
	close(paths)
	all.Wait()
	return errors.Join(err, errors.Join(failed...))
}

// folder is where the contents of p lie: the gateway keeps objects as files.
func (o *objects) folder(p place) string {
	if p.bucket == "" {
		return p.dir
	}
	return filepath.Join(o.gateway.Dir(), "data", p.bucket)
}

// prepare returns the workload with everyone who can do it.
func (o *objects) prepare(f fileWorkload) workload {
	t := o.small
	if f.large {
		t = o.large
	}
	w := workload{
		name: f.name, title: f.title, about: f.about, unit: "objects", count: t.objects, bytes: t.bytes(), failed: map[string]string{},
		servers: func() []int { return []int{o.gateway.Pid()} }, local: f.to(o).bucket == "", many: f.many(), limit: turnLimit,
	}
	if f.again {
		w.least = o.steady / time.Duration(max(1, o.rounds))
	}
	if o.wanted(godwitLabel) {
		w.contestants = append(w.contestants, o.contestant(f, t, rival{label: godwitLabel}))
	}
	for _, r := range rivals() {
		switch {
		case !o.wanted(r.label), r.tuned && f.large:
		case o.programs[r.program].absent != "":
			w.failed[r.label] = "not here: " + o.programs[r.program].absent
		case r.args(o.gateway, f.from(o), f.to(o), f.again) == nil:
			w.failed[r.label] = "it cannot"
		default:
			w.contestants = append(w.contestants, o.contestant(f, t, r))
		}
	}
	return w
}

func (o *objects) contestant(f fileWorkload, t tree, r rival) contestant {
	from, to := f.from(o), f.to(o)
	if f.again { // each its own target, in the form it leaves behind itself
		to.bucket += strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return '-'
		}, r.label)
	}
	before := map[string]stamp{}
	// Runs with nothing to do are short: those that the goal compares are repeated.
	once := r.program != "" && r.program != "juicefs"
	c := contestant{name: r.label, setting: r.setting, rival: r.program != "", once: once}
	c.command = func(ctx context.Context, _ string) (call, error) { return o.call(ctx, r, from, to, f.again) }
	c.prepare = func(ctx context.Context) (err error) {
		if !f.again {
			return o.empty(&workload{many: f.many()}, to)
		}
		if !o.filled[to.bucket] {
			if err := o.fillTarget(ctx, r, from, to); err != nil {
				return err
			}
			o.filled[to.bucket] = true
		}
		before, err = stamps(o.folder(to))
		return err
	}
	c.check = func(_ context.Context, _ string, _ []byte) error {
		if f.again {
			after, err := stamps(o.folder(to))
			if err != nil {
				return err
			}
			if n := rewritten(before, after); n > 0 {
				return fmt.Errorf("%d of %d objects were copied again", n, t.objects)
			}
		}
		return compare(t.dir, o.folder(to))
	}
	return c
}

// fillTarget is the first run of a workload whose second run is measured.
func (o *objects) fillTarget(ctx context.Context, r rival, from, to place) error {
	if err := o.gateway.Client().MakeBucket(ctx, to.bucket, minio.MakeBucketOptions{}); err != nil {
		return err
	}
	first, err := o.call(ctx, r, from, to, true)
	if err != nil {
		return err
	}
	if out, err := first.cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("first run: %w\n%s", err, tail(out))
	}
	return nil
}

func (o *objects) empty(w *workload, to place) error {
	if to.bucket == "" { // below what every turn begins without
		return os.MkdirAll(to.dir, 0o755)
	}
	return w.disposeContents(o.folder(to), filepath.Join(o.gateway.Dir(), trash))
}

// tidy removes what a workload left, and returns when that slows nobody.
func (o *objects) tidy(ctx context.Context, w *workload) error {
	err := errors.Join(
		os.RemoveAll(filepath.Join(o.dir, "out")), os.RemoveAll(filepath.Join(o.dir, trash)),
		os.RemoveAll(filepath.Join(o.gateway.Dir(), trash)),
		(&workload{}).disposeContents(o.folder(place{bucket: target}), ""),
	)
	if err != nil || !w.many || o.only == w.name {
		return err
	}
	unix.Sync()
	select {
	case <-time.After(forgotten):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call is one run of a program. godwit remembers nothing of earlier runs.
func (o *objects) call(ctx context.Context, r rival, from, to place, again bool) (call, error) {
	var cmd *exec.Cmd
	if r.program != "" {
		cmd = exec.CommandContext(ctx, o.programs[r.program].built.Path, r.args(o.gateway, from, to, again)...)
	} else {
		dir := filepath.Join(o.dir, "godwit")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
			return call{}, err
		}
		path := filepath.Join(dir, "job.yaml")
		if err := os.WriteFile(path, []byte(fileJob(o.gateway, from, to)), 0o644); err != nil {
			return call{}, err
		}
		cmd = exec.CommandContext(ctx, o.godwit, "run", "--json", "--state", filepath.Join(dir, "state"), path)
	}
	cmd.Env = environment(o.gateway, o.dir)
	return call{cmd}, nil
}

// settle brings all that was written to the disk of dir, by one call for the
// whole of it, as the command sync does.
func settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
