package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/local"
)

const benchBytes = 400 << 20

// BenchmarkStage stages and publishes 400 MiB in writes of 256 KiB: with fsync,
// without, and as a plain file with nothing but write and fsync.
func BenchmarkStage(b *testing.B) {
	chunk := make([]byte, 256<<10)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	for name, fsys := range map[string]local.FS{"fsync": local.OS{}, "no_fsync": unsynced{local.OS{}}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchBytes)
			s, err := local.New(fsys, b.TempDir(), local.Options{})
			must(b, err)
			for b.Loop() {
				g, err := s.Stage(background, "t/k", store.PutOptions{})
				must(b, err)
				for n := 0; n < benchBytes; n += len(chunk) {
					_, err := g.Write(chunk)
					must(b, err)
				}
				r, err := g.Close()
				must(b, err)
				_, err = s.Publish(background, r)
				must(b, err)
				b.StopTimer()
				must(b, s.Delete(background, "t/k"))
				b.StartTimer()
			}
		})
	}
	b.Run("plain_file", func(b *testing.B) {
		b.SetBytes(benchBytes)
		name := filepath.Join(b.TempDir(), "k")
		for b.Loop() {
			f, err := os.Create(name)
			must(b, err)
			for n := 0; n < benchBytes; n += len(chunk) {
				_, err := f.Write(chunk)
				must(b, err)
			}
			must(b, f.Sync())
			must(b, f.Close())
			b.StopTimer()
			must(b, os.Remove(name))
			b.StartTimer()
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	s := openDir(b, b.TempDir())
	value := make([]byte, 1000)
	for i := 0; b.Loop(); i++ {
		must(b, s.Create(background, "c/k", value))
		b.StopTimer()
		must(b, s.Delete(background, "c/k"))
		b.StartTimer()
	}
}

// unsynced is the file system without any fsync.
type unsynced struct{ local.FS }

func (f unsynced) SyncDir(string) error { return nil }

func (f unsynced) OpenRoot(name string) (local.Root, error) {
	r, err := f.FS.OpenRoot(name)
	return unsyncedRoot{r}, err
}

type unsyncedRoot struct{ local.Root }

func (r unsyncedRoot) SyncDir(string) error { return nil }

func (r unsyncedRoot) Create(name string) (local.Writer, error) {
	w, err := r.Root.Create(name)
	return unsyncedWriter{w}, err
}

type unsyncedWriter struct{ local.Writer }

func (w unsyncedWriter) Sync() error { return nil }
