package file

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/store"
	"godwit/internal/transfer/selection"
)

// asking is how many objects of a list file are looked up at once.
const asking = 32

// named yields the objects that a list file names, in any order. One that is not
// there comes without size and version: it is found to be gone when it is read.
func (j *opened) named(l *job.List) iter.Seq2[store.Object, error] {
	path := l.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(j.spec.File), path)
	}
	return func(yield func(store.Object, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(store.Object{}, fault.New(fault.JobValue, "the list file cannot be read").At("%s", path).By(bare(err)))
			return
		}
		defer f.Close()
		read := selection.Lines
		if l.Format == "csv" {
			read = selection.CSV
		}
		j.ask(read(l.File, f), yield)
	}
}

// bare is the reason of an error that names a path.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

type answer struct {
	o   store.Object
	err error
}

// ask looks up the objects of a list, many at once.
func (j *opened) ask(list iter.Seq2[store.Object, error], yield func(store.Object, error) bool) {
	ctx, cancel := context.WithCancel(context.Background())
	keys, answers := make(chan string), make(chan answer)
	send := func(a answer) {
		select {
		case answers <- a:
		case <-ctx.Done():
		}
	}
	var all sync.WaitGroup
	for range asking {
		all.Go(func() {
			for key := range keys {
				send(j.lookUp(ctx, key))
			}
		})
	}
	all.Go(func() {
		defer close(keys)
		for o, err := range list {
			if err != nil {
				send(answer{err: err})
				return
			}
			select {
			case keys <- o.Key:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() { all.Wait(); close(answers) }()
	for a := range answers {
		if !yield(a.o, a.err) || a.err != nil {
			break
		}
	}
	cancel()
	all.Wait()
}

func (j *opened) lookUp(ctx context.Context, key string) answer {
	s, ok := j.source.(store.Stat)
	if !ok {
		return answer{err: fault.New(fault.JobValue, "the source cannot look up single objects: a list file is not possible")}
	}
	o, err := s.Stat(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return answer{o: store.Object{Key: key}}
	}
	o.Key = key
	return answer{o, err}
}
