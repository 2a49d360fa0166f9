package file

import (
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/transfer/selection"
)

// overlap refuses a job that could take for its source what it has written, or change
// in its target what it is to copy: source and sink are one place, or one lies in the
// other and is not left out.
func (j *opened) overlap() error {
	if j.source == nil || j.target == nil {
		return nil
	}
	chosen, err := selection.New(j.spec.Files.At(time.Now()))
	if err != nil {
		return err
	}
	prefix, in, err := nests(j.source, j.target)
	switch {
	case err != nil:
		return err
	case in && prefix == "" && chosen.FeedsBack(""):
		return j.overlaps("source and sink are one place: %s and %s", where(j.source), where(j.target)).
			Try("name another place for one of them")
	case in && prefix != "" && chosen.FeedsBack(prefix):
		return j.overlaps("the sink %s lies in the source %s: what is copied there would be copied again", where(j.target), where(j.source)).
			Try("name a sink outside of the source, or leave it out of the job: exclude: [%q]", selection.GlobBelow(prefix))
	case in:
		return nil
	}
	prefix, in, err = nests(j.target, j.source)
	if err != nil || !in || !chosen.ReachesName(prefix) {
		return err
	}
	f := j.overlaps("the source %s lies in the sink %s: the job could overwrite and delete what it is to copy", where(j.source), where(j.target))
	if chosen.Renames() {
		return f.Try("name a source outside of the sink, or let no object get a name that begins with %q", prefix)
	}
	return f.Try("name a source outside of the sink, or leave its name out of the job: exclude: [%q]", selection.GlobBelow(prefix))
}

func nests(outer, inner store.Store) (prefix string, in bool, err error) {
	n, ok := outer.(store.Nester)
	if !ok {
		return "", false, nil
	}
	return n.Nests(inner)
}

func (j *opened) overlaps(format string, a, b string) *fault.Error {
	return fault.New(fault.JobValue, format, a, b).At("%s", j.spec.Files.Sink.At())
}
