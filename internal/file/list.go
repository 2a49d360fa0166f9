package file

import (
	"errors"
	"iter"
	"os"
	"path/filepath"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/store"
	"godwit/internal/transfer/selection"
)

// named yields the keys that a list file names, in its order.
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
		for o, err := range read(l.File, f) {
			if !yield(o, err) {
				return
			}
		}
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
