package carrier

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/transfer/page"
)

// many fills a folder and returns the items that copy it.
func many(b *testing.B, dir string, objects, size int) []page.Item {
	b.Helper()
	s, err := local.New(local.OS{}, dir, local.Options{})
	if err != nil {
		b.Fatal(err)
	}
	data := noise(size)
	for i := range objects {
		name := filepath.Join(dir, fmt.Sprintf("%02d/%05d", i%50, i))
		if i < 50 {
			_ = os.MkdirAll(filepath.Dir(name), 0o755)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	var items []page.Item
	for o, err := range s.List(context.Background(), "", "") {
		if err != nil {
			b.Fatal(err)
		}
		items = append(items, page.Item{Key: o.Key, Size: o.Size, Modified: o.Modified, Version: o.Version, Action: page.Copy})
	}
	return items
}

// carryItems carries items 512 at once and fails unless all arrive.
func carryItems(b *testing.B, c *Carrier, items []page.Item) {
	work := make(chan page.Item)
	var all sync.WaitGroup
	for range 512 {
		all.Go(func() {
			for item := range work {
				if out, err := c.Carry(context.Background(), item); err != nil || out.State != page.Copied {
					b.Errorf("%+v, %v", out, err)
				}
			}
		})
	}
	for _, item := range items {
		work <- item
	}
	close(work)
	all.Wait()
	if err := c.Close(); err != nil {
		b.Error(err)
	}
}

func benchLocal(b *testing.B, objects, size int) {
	base := b.TempDir()
	from := filepath.Join(base, "from")
	items := many(b, from, objects, size)
	b.Run("carry", func(b *testing.B) {
		for i := range b.N {
			source, _ := local.New(local.OS{}, from, local.Options{})
			target, _ := local.New(local.OS{}, filepath.Join(base, fmt.Sprint("to", b.N, "-", i)), local.Options{})
			carryItems(b, New(Config{Source: source, Target: target, Dir: filepath.Join(base, "state")}), items)
		}
		b.ReportMetric(float64(b.N*objects)/b.Elapsed().Seconds(), "objects/s")
	})
	b.Run("plain", func(b *testing.B) {
		for i := range b.N {
			to := filepath.Join(base, fmt.Sprint("plain", b.N, "-", i))
			for _, item := range items {
				copyFile(b, filepath.Join(from, item.Key), filepath.Join(to, item.Key))
			}
		}
		b.ReportMetric(float64(b.N*objects)/b.Elapsed().Seconds(), "objects/s")
	})
}

func copyFile(b *testing.B, from, to string) {
	r, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		_ = os.MkdirAll(filepath.Dir(to), 0o755)
		w, err = os.Create(to)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCarry_small_files(b *testing.B) { benchLocal(b, 20_000, 4<<10) }

func BenchmarkCarry_large_files(b *testing.B) { benchLocal(b, 20, 100<<20) }

// The carrier's own price: stores that do next to nothing.
func BenchmarkCarry_nothing(b *testing.B) {
	source, target := nothing{}, nothing{}
	c := New(Config{Source: source, Target: target, Dir: b.TempDir()})
	item := page.Item{Key: "k", Size: 4096, Action: page.Copy}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if out, err := c.Carry(context.Background(), item); err != nil || out.State != page.Copied {
				b.Errorf("%+v, %v", out, err)
			}
		}
	})
}

type nothing struct{ store.Store }

func (nothing) Open(context.Context, string, store.Read) (io.ReadCloser, store.Object, error) {
	return io.NopCloser(io.LimitReader(zeros{}, 4096)), store.Object{Key: "k", Size: 4096}, nil
}

func (nothing) Put(_ context.Context, key string, b store.Body, _ store.PutOptions) (store.Object, error) {
	r, err := b.Open(0)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return store.Object{Key: key, Size: b.Size}, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
