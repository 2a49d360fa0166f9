package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

func BenchmarkPut(b *testing.B) {
	s := openDir(b, b.TempDir())
	data := bodyOf(strings.Repeat("x", 4096))
	for i := 0; b.Loop(); i++ {
		_, err := s.Put(background, fmt.Sprintf("d%d/%d", i/1000, i), data, store.PutOptions{})
		must(b, err)
	}
}

// BenchmarkBatch puts objects of 4 KiB from 4 goroutines; one operation is one
// object, made durable with 999 others.
func BenchmarkBatch(b *testing.B) {
	const size, lanes = 1000, 4
	for name, from := range map[string]int{"sync_all": 1, "sync_each": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			s, err := local.New(local.OS{}, b.TempDir(), local.Options{SyncAllFrom: from})
			must(b, err)
			data := bodyOf(strings.Repeat("x", 4096))
			for n := 0; n < b.N; n += size {
				c, err := s.Batch(background)
				must(b, err)
				var all sync.WaitGroup
				for lane := range lanes {
					all.Go(func() {
						for i := lane; i < min(size, b.N-n); i += lanes {
							if _, err := c.Put(background, fmt.Sprintf("d%d/%d", n/size, n+i), data, store.PutOptions{}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
				if errs := c.Commit(background); errs != nil {
					b.Fatal(errs)
				}
			}
		})
	}
}

// BenchmarkParts writes 256 MiB in parts of 16 MiB from 2 goroutines.
func BenchmarkParts(b *testing.B) {
	const size, parts = 16 << 20, 16
	s := openDir(b, b.TempDir())
	data := bodyOf(strings.Repeat("0123456789abcdef", size/16))
	b.SetBytes(size * parts)
	for b.Loop() {
		upload, err := s.Begin(background, "k", size*parts, store.PutOptions{})
		must(b, err)
		var all sync.WaitGroup
		for lane := range 2 {
			all.Go(func() {
				for n := 1 + lane; n <= parts; n += 2 {
					if _, err := s.PutPart(background, "k", upload, n, int64(n-1)*size, data); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		list, err := s.Parts(background, "k", upload)
		must(b, err)
		_, err = s.Complete(background, "k", upload, list)
		must(b, err)
	}
}

// BenchmarkList lists 100,000 files, of one folder and of a hundred, in memory and
// through a file.
func BenchmarkList(b *testing.B) {
	const files = 100_000
	flat, tree := b.TempDir(), b.TempDir()
	for i := range files {
		must(b, os.WriteFile(filepath.Join(flat, fmt.Sprintf("name-of-a-file-%08d.bin", i*7919%files)), nil, 0o600))
		dir := filepath.Join(tree, fmt.Sprintf("%02d", i%100))
		if i < 100 {
			must(b, os.Mkdir(dir, 0o700))
		}
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("name-of-a-file-%08d.bin", i)), nil, 0o600))
	}
	for _, c := range []struct {
		name, dir string
		bytes     int
	}{{"flat", flat, 0}, {"flat_on_disk", flat, 1 << 20}, {"tree", tree, 0}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := local.New(local.OS{}, c.dir, local.Options{ListBytes: c.bytes})
			must(b, err)
			for b.Loop() {
				n := 0
				for _, err := range s.List(background, "", "") {
					must(b, err)
					n++
				}
				if n != files {
					b.Fatalf("%d files", n)
				}
			}
		})
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
