package job

import (
	"maps"
	"slices"
	"strings"

	"godwit/internal/option"
)

// kind is that of the job that was kept.
func (k Kept) kind() Kind {
	if kind := Kind(k["kind"]); kind != "" {
		return kind
	}
	return KindTables // what was kept before there were others
}

// keptFiles is Kept of a file job: every option under its own path.
func (s *Spec) keptFiles() Kept {
	k := Kept{}
	k.add("", s.values)
	delete(k, "")
	delete(k, "version")
	return k
}

// diffFiles is Diff of a file job.
func (s *Spec) diffFiles(old Kept) []Edit {
	now := s.Kept()
	paths := maps.Clone(map[string]string(old))
	maps.Copy(paths, now)
	var edits []Edit
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		was, had := old[path]
		is, has := now[path]
		if was == is || had != has && !strings.Contains(path, "[") && (had || !given(s.values, strings.Split(path, "."))) {
			continue // equal, or not of the file but of another version of godwit
		}
		e := Edit{Field: path, From: was, To: is}
		e.Effect, e.Why = s.fileEffect(path)
		edits = append(edits, e)
	}
	return edits
}

// fileEffect tells what an edit of one option of a file job does. Nothing but the
// name is refused: what is in the target is compared anew.
func (s *Spec) fileEffect(path string) (Effect, string) {
	top, _, _ := strings.Cut(path, ".")
	top, _, _ = strings.Cut(top, "[")
	switch top {
	case "name":
		return Refused, "the state belongs to the job's name"
	case "verify", "part_size", "attributes", "parallel":
		return Applies, "at the next start"
	}
	if live(s.values.Fields(), []string{top}) {
		return Follows, "a running job takes it over: at SIGHUP, on a server at once"
	}
	return Lists, "everything is listed and compared anew; what is equal is not copied again"
}

// given reports whether the option at path stands in the file.
func given(v option.Values, path []string) bool {
	name, _, _ := strings.Cut(path[0], "[")
	for _, f := range v.Fields() {
		if f.Name == name && v.Given(name) {
			return len(path) == 1 || f.Kind != option.Object || given(v.Object(name), path[1:])
		}
	}
	return false
}
