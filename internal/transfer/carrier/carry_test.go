package carrier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/store/mem"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// put stores bytes and returns the item that copies them.
func put(t testing.TB, s store.Store, key string, b []byte) page.Item {
	t.Helper()
	o, err := s.Put(context.Background(), key, bodyOf(b), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Item{Key: o.Key, Size: o.Size, Modified: o.Modified, Version: o.Version, Sums: o.Sums, Action: page.Copy}
}

func TestCarry_when_an_object_is_to_be_deleted(t *testing.T) {
	target := mem.New(mem.Options{})
	put(t, target, "a", []byte("x"))
	c := New(Config{Source: mem.New(mem.Options{}), Target: target, Dir: t.TempDir()})
	for range 2 { // one that is not there is no error
		out, err := c.Carry(t.Context(), page.Item{Name: "a", Action: page.Delete})
		if err != nil || out.State != page.Deleted || contents(target, "a") != nil {
			t.Fatalf("%+v, %v", out, err)
		}
	}
}

func TestCarry_when_the_source_is_to_be_deleted(t *testing.T) {
	data := []byte("the contents")
	for name, c := range map[string]struct {
		target []byte
		sums   []store.Algorithm
		change bool
		verify Verify
		state  page.State
		code   fault.Code
	}{
		"alike by sums":     {target: data, state: page.Unchanged},
		"alike by bytes":    {target: data, sums: []store.Algorithm{}, state: page.Unchanged},
		"alike, read back":  {target: data, verify: ReadBack, state: page.Unchanged},
		"other bytes":       {target: []byte("the confents"), state: page.Failed, code: fault.Corrupt},
		"other, no sums":    {target: []byte("the confents"), sums: []store.Algorithm{}, state: page.Failed, code: fault.Corrupt},
		"other size":        {target: []byte("the"), state: page.Failed, code: fault.Corrupt},
		"not there":         {state: page.Failed, code: fault.Corrupt},
		"changed meanwhile": {target: data, change: true, state: page.Failed, code: fault.SourceChanged},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := mem.New(mem.Options{Sums: c.sums}), mem.New(mem.Options{Sums: c.sums})
			item := put(t, source, "a", data)
			item.Action = page.Erase
			if c.target != nil {
				put(t, target, "a", c.target)
			}
			if c.change {
				put(t, source, "a", []byte("the contents"))
			}
			k := New(Config{Source: source, Target: target, Dir: t.TempDir(), Verify: c.verify})
			out, err := k.Carry(t.Context(), item)
			if err != nil || out.State != c.state || out.Code != c.code || out.Erased != (c.state == page.Unchanged) {
				t.Fatalf("%+v, %v", out, err)
			}
			if kept := contents(source, "a") != nil; kept == out.Erased {
				t.Fatal("the source is not as recorded")
			}
			if out.Erased && (out.Checked == "" || out.Checked == "size") {
				t.Fatalf("deleted after a check by %q", out.Checked)
			}
		})
	}
}

func TestCarry_when_an_object_marks_a_folder(t *testing.T) {
	source, target := mem.New(mem.Options{}), failing("put", fault.New(fault.NameRefused, "an empty part"))
	k := New(Config{Source: source, Target: plain{target, target}, Dir: t.TempDir(), Erase: true})
	for _, c := range []struct {
		key, name, text string
		state           page.State
	}{
		{"folder/", "", "", page.Skipped},
		{"folder/", "other/", "", page.Skipped},
		{"folder/", "file", "", page.Failed},
		{"file", "folder/", "", page.Failed},
		{"folder/", "", "text", page.Failed},
	} {
		item := put(t, source, c.key, []byte(c.text))
		item.Name = c.name
		out, err := k.Carry(t.Context(), item)
		if err != nil || out.State != c.state || out.Erased || out.Error == "" || (out.Code == "") != (c.state == page.Skipped) {
			t.Errorf("%+v: %+v, %v", c, out, err)
		}
		if contents(source, c.key) == nil {
			t.Errorf("%+v: deleted in the source", c)
		}
	}
}

// failing is a target whose calls fail always.
func failing(name string, err error) *mem.Store {
	return mem.New(mem.Options{Before: func(_ context.Context, c mem.Call) error {
		if c.Name == name {
			return err
		}
		return nil
	}})
}

func TestCarry_when_an_error_stays(t *testing.T) {
	denied := fault.New(fault.StoreRefused, "access denied")
	for name, c := range map[string]struct {
		source, target *mem.Store
		code           fault.Code // of the object
		stop           fault.Code // of the job
		attempts       int
	}{
		"source refuses":   {source: failing("open", denied), code: fault.SourceRefused, attempts: 1},
		"source fails":     {source: failing("open", errors.New("broken")), code: fault.StoreFailed, attempts: transientTries},
		"source is busy":   {source: failing("open", fault.New(fault.StoreBusy, "slow")), code: fault.StoreBusy, attempts: transientTries},
		"source credent":   {source: failing("open", fault.New(fault.StoreAuth, "who are you")), stop: fault.StoreAuth},
		"target name":      {target: failing("put", fault.New(fault.NameRefused, "no")), code: fault.NameRefused, attempts: 1},
		"target refuses":   {target: failing("put", denied), code: fault.StoreRefused, attempts: 1},
		"target full":      {target: failing("put", fault.New(fault.TargetFull, "full")), stop: fault.TargetFull},
		"target missing":   {target: failing("put", fault.New(fault.StoreMissing, "no bucket")), stop: fault.StoreMissing},
		"target read-only": {target: failing("put", fault.New(fault.TargetRefused, "ro").By(syscall.EROFS)), stop: fault.TargetRefused},
		"target corrupts":  {target: failing("put", fault.New(fault.Corrupt, "flip")), code: fault.Corrupt, attempts: corruptTries},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, target := c.source, c.target
				if source == nil {
					source = mem.New(mem.Options{})
				}
				if target == nil {
					target = mem.New(mem.Options{})
				}
				item := put(t, source, "a", []byte("x"))
				k := New(Config{Source: source, Target: plain{target, target}, Dir: t.TempDir()})
				out, err := k.Carry(t.Context(), item)
				if c.stop != "" {
					if !fault.Has(err, c.stop) {
						t.Fatalf("%+v, %v", out, err)
					}
					return
				}
				if err != nil || out.State != page.Failed || out.Code != c.code || out.Attempts != c.attempts || out.Error == "" {
					t.Fatalf("%+v, %v", out, err)
				}
			})
		})
	}
}

func TestCarry_when_everything_is_refused(t *testing.T) {
	denied := fault.New(fault.StoreRefused, "access denied")
	for _, good := range []bool{false, true} {
		source, target := mem.New(mem.Options{}), failing("put", denied)
		item := put(t, source, "a", []byte("x"))
		k := New(Config{Source: source, Target: plain{target, target}, Dir: t.TempDir()})
		if good { // something else went well
			if _, err := k.Carry(t.Context(), page.Item{Name: "b", Action: page.Delete}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 * rowOfRefusals {
			_, err := k.Carry(t.Context(), item)
			if stopped := err != nil; stopped != (!good && i+1 >= rowOfRefusals) {
				t.Fatalf("with a success before: %v; after %d: %v", good, i+1, err)
			}
		}
	}
}

func TestCarry_when_the_object_never_rests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source *mem.Store
		n := 0
		source = mem.New(mem.Options{Before: func(_ context.Context, c mem.Call) error {
			if c.Name == "open" {
				n++
				_, _ = source.Put(context.Background(), "a", bodyOf([]byte(fmt.Sprint(n))), store.PutOptions{})
			}
			return nil
		}})
		target := mem.New(mem.Options{})
		item := put(t, source, "a", []byte("x"))
		k := New(Config{Source: source, Target: target, Dir: t.TempDir()})
		k.copier = nil
		out, err := k.Carry(t.Context(), item)
		if err != nil || out.State != page.Failed || out.Code != fault.SourceChanged || n != changedTries+1 || contents(target, "a") != nil {
			t.Fatalf("%+v, %v after %d reads", out, err, n)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCarry_when_the_job_ends_meanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := mem.New(mem.Options{Before: func(ctx context.Context, c mem.Call) error {
			if c.Name == "open" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})
		target := mem.New(mem.Options{})
		item := put(t, source, "a", []byte("x"))
		budget := limit.NewBudget(1 << 20)
		k := New(Config{Source: source, Target: batched{target, target, target}, Dir: t.TempDir(), Lanes: 4, Budget: budget})
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stopped")
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if out, err := k.Carry(ctx, item); !errors.Is(err, stop) {
					t.Errorf("%+v, %v", out, err)
				}
			})
		}
		synctest.Wait()
		cancel(stop)
		wg.Wait()
		_ = k.Close()
		if budget.Taken() != 0 || k.lanes.used != 0 {
			t.Errorf("%d bytes and %d lanes are held", budget.Taken(), k.lanes.used)
		}
	})
}

func TestCarry_when_one_object_is_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := mem.New(mem.Options{Before: func(ctx context.Context, c mem.Call) error {
			if c.Name == "open" && c.Key == "slow" {
				<-time.After(30 * time.Second)
			}
			return nil
		}})
		target := mem.New(mem.Options{Sums: []store.Algorithm{store.MD5}})
		slow := put(t, source, "slow", make([]byte, 20*testPart))
		k := New(Config{Source: source, Target: parted{target, target, target}, Dir: t.TempDir(), Lanes: 4, PartSize: testPart})
		k.sync = noSync
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = k.Carry(t.Context(), slow) })
		synctest.Wait()
		for i := range 100 {
			item := put(t, source, fmt.Sprint("quick", i), []byte("x"))
			wg.Go(func() {
				if out, err := k.Carry(t.Context(), item); err != nil || out.State != page.Copied {
					t.Errorf("%+v, %v", out, err)
				}
				if d := time.Since(began); d > time.Second {
					t.Errorf("a small object waited %v for a slow one", d)
				}
			})
		}
		wg.Wait()
		_ = k.Close()
	})
}

func TestCarry_when_many_come_at_once(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commits atomic.Int64
		source := mem.New(mem.Options{})
		inner := mem.New(mem.Options{Sums: []store.Algorithm{}})
		target := &counting{batched: batched{inner, inner, inner}, commits: &commits}
		record := watch.NewFiles(watch.Options{})
		budget := limit.NewBudget(8 << 20)
		k := New(Config{Source: source, Target: target, Dir: t.TempDir(), Budget: budget, Record: record})
		var wg sync.WaitGroup
		const objects = 2000
		began := time.Now()
		gate := make(chan struct{}, 512)
		for i := range objects {
			data := bytes.Repeat([]byte{byte(i)}, i%5000)
			item := put(t, source, fmt.Sprint("k", i), data)
			gate <- struct{}{}
			wg.Go(func() {
				defer func() { <-gate }()
				out, err := k.Carry(t.Context(), item)
				if err != nil || out.State != page.Copied || out.How != "batch" || out.Bytes != item.Size || out.Attempts != 1 || out.Sum.Algorithm != store.XXH3 {
					t.Errorf("%+v, %v", out, err)
				}
				if !bytes.Equal(contents(inner, item.Key), data) {
					t.Errorf("%s is not there when it is said to be", item.Key)
				}
			})
		}
		wg.Wait()
		_ = k.Close()
		if n := commits.Load(); n > objects/16 {
			t.Errorf("%d commits for %d objects", n, objects)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("they stood still for %v", d)
		}
		if budget.Taken() != 0 {
			t.Errorf("%d bytes are held", budget.Taken())
		}
	})
}

// counting counts the commits of batches.
type counting struct {
	batched
	commits *atomic.Int64
}

func (c *counting) Batch(ctx context.Context) (store.Batch, error) {
	c.commits.Add(1)
	return c.batched.Batch(ctx)
}

func TestCarry_when_bytes_are_limited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, target := mem.New(mem.Options{}), mem.New(mem.Options{})
		limits := limit.NewRates(limit.Rate{PerSecond: 100 << 10}, limit.Rate{}, nil)
		k := New(Config{Source: source, Target: plain{target, target}, Dir: t.TempDir(), Limits: limits})
		item := put(t, source, "a", make([]byte, 20<<20)) // takes longer than a stall
		began := time.Now()
		out, err := k.Carry(t.Context(), item)
		if d := time.Since(began).Seconds(); err != nil || out.Attempts != 1 || d < 200 || d > 210 {
			t.Fatalf("%+v, %v after %v s", out, err, d)
		}
	})
}

func TestSweep_when_uploads_were_left(t *testing.T) {
	source := mem.New(mem.Options{})
	inner := failing("complete", fault.New(fault.NameRefused, "never"))
	dir := t.TempDir()
	k := New(Config{Source: source, Target: parted{inner, inner, inner}, Dir: dir, PartSize: testPart})
	out, err := k.Carry(t.Context(), put(t, source, "a", make([]byte, 3*testPart)))
	if err != nil || out.State != page.Failed {
		t.Fatalf("%+v, %v", out, err)
	}
	left, err := uploadFiles(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("left %v, %v: a retry goes on with it", left, err)
	}
	if err := k.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ = uploadFiles(dir); len(left) != 0 {
		t.Fatalf("left %v", left)
	}
}
