package job

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/option"
)

// Kept is what is remembered of a Spec to tell later edits: each option's path
// and its value as text, defaults included. Sinks are named, not numbered:
// "sinks.lake.files.roll.size". It holds no secret, and of a text with references
// the reference and a short checksum instead of the value.
type Kept map[string]string

// Effect is what an edit of a job that has run does.
type Effect string

// Effects.
const (
	Applies Effect = "applies" // at the next start, nothing is read again
	Checked Effect = "checked" // allowed; the source must have the same history
	Follows Effect = "follows" // a running job takes it over (SIGHUP), else the next start
	Lists   Effect = "lists"   // the next run lists and compares everything anew; equal objects are not copied again
	Adds    Effect = "adds"    // a new sink: it gets everything from the beginning
	Leaves  Effect = "leaves"  // a sink is gone: what it holds stays as it is
	Chooses Effect = "chooses" // added tables are copied apart and join the others, removed ones leave: what they wrote stays
	Bears   Effect = "bears"   // what the job does about failures: what there is to do is found anew, and nothing is read again
	Refused Effect = "refused"
)

// Edit is one difference between a job that has run and its file now.
type Edit struct {
	Field  string // e.g. "sinks.lake.files.layout"; of an added or gone sink "sinks.pg"
	From   string // empty: was not there
	To     string // empty: is gone
	Effect Effect
	Why    string // one clause, for people
	// Elsewhere says of what is refused that only another target helps, as what there is
	// keeps its form whatever is read again.
	Elsewhere bool
}

// Kept returns what is to be remembered of s.
func (s *Spec) Kept() Kept {
	if s.Kind == KindFiles {
		return s.keptFiles()
	}
	k := Kept{
		"name":       s.Name,
		"tables":     strings.Join(s.Tables.Patterns, " "),
		"mode":       string(s.Mode),
		"start":      s.Start.String(),
		"until":      s.Until.String(),
		"parallel":   strconv.Itoa(s.Parallel),
		"chunk_size": strconv.FormatInt(s.Chunk, 10),
	}
	k.add("source."+s.Source.Driver, s.Source.Values)
	k.addRules("", s.values)
	for i, sink := range s.Sinks {
		k.add("sinks."+sink.Name+"."+sink.Driver, sink.Values)
		k.addRules("sinks."+sink.Name+".", s.values.Objects("sinks")[i])
		if sink.OnError.Mode != "" {
			k["sinks."+sink.Name+".on_error"] = string(sink.OnError.Mode) + " " + strconv.Itoa(sink.OnError.Attempts)
		}
	}
	return k
}

// addRules remembers what was said of rules: an option that later versions know is no
// edit.
func (k Kept) addRules(at string, v option.Values) {
	if !slices.ContainsFunc(v.Fields(), func(f option.Field) bool { return f.Name == "rules" }) {
		return // of a spec that was not parsed
	}
	for i, r := range v.Objects("rules") {
		path := fmt.Sprintf("%srules[%d]", at, i)
		k[path] = "set"
		for _, f := range r.Fields() {
			if r.Given(f.Name) {
				k[path+"."+f.Name] = keptText(r, f)
			}
		}
	}
}

// rulesSum is a checksum of rules, over what Kept has of them. It is kept in targets
// (docs/formats/positions.md): it must never become another for the same rules.
func rulesSum(lists ...[]option.Values) string {
	h := sha256.New()
	put := func(parts ...string) {
		for _, p := range parts {
			fmt.Fprintf(h, "%d %s ", len(p), p)
		}
	}
	for _, list := range lists {
		for _, r := range list {
			put("rule")
			said := Kept{}
			for _, f := range r.Fields() {
				if r.Given(f.Name) {
					said[f.Name] = keptText(r, f)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(said)) { // whatever the order of fields is in later versions
				put(name, said[name])
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (k Kept) add(path string, v option.Values) {
	k[path] = "set" // an object without options is there too
	for _, f := range v.Fields() {
		at := strings.TrimPrefix(path+"."+f.Name, ".")
		switch f.Kind {
		case option.Secret:
		case option.Object:
			if k.add(at, v.Object(f.Name)); !v.Given(f.Name) {
				k[at] = ""
			}
		case option.Objects:
			for i, o := range v.Objects(f.Name) {
				k.add(fmt.Sprintf("%s[%d]", at, i), o)
			}
		default:
			k[at] = keptText(v, f)
		}
	}
}

func keptText(v option.Values, f option.Field) string {
	switch f.Kind {
	case option.Int:
		return strconv.FormatInt(v.Int(f.Name), 10)
	case option.Bool:
		return strconv.FormatBool(v.Bool(f.Name))
	case option.Size:
		return option.FormatSize(v.Int(f.Name))
	case option.Duration:
		return option.FormatDuration(v.Duration(f.Name))
	case option.List:
		return strings.Join(v.List(f.Name), " ")
	case option.Map:
		var b strings.Builder
		for _, p := range v.Map(f.Name) {
			fmt.Fprintf(&b, "%s: %s; ", p.Key, p.Value)
		}
		return strings.TrimSuffix(b.String(), "; ")
	}
	written, value := v.Written(f.Name), v.Text(f.Name)
	if written == value {
		return value
	}
	// Enough to see that the value changed, too little to find it.
	sum := sha256.Sum256([]byte(f.Name + "\x00" + value))
	return written + " (" + hex.EncodeToString(sum[:4]) + ")"
}

func (s Start) String() string {
	switch {
	case s.Head:
		return "head"
	case !s.Time.IsZero():
		return s.Time.Format(time.RFC3339)
	}
	return s.Place
}

func (u Until) String() string {
	switch {
	case u.Head:
		return "head"
	case !u.Time.IsZero():
		return u.Time.Format(time.RFC3339)
	}
	return ""
}

// Fingerprint returns a text that is equal for two Specs if and only if no edit
// lies between them; secrets do not count.
func (s *Spec) Fingerprint() string { return s.Kept().Fingerprint() }

// Fingerprint is Spec.Fingerprint of what was kept.
func (k Kept) Fingerprint() string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(k)) {
		fmt.Fprintf(h, "%d %s %d %s\n", len(path), path, len(k[path]), k[path])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Diff returns the edits that lead from old, as it was kept when the job last
// ran, to s, in order of their fields.
func (s *Spec) Diff(old Kept) []Edit {
	if old.kind() != s.Kind {
		return []Edit{{Field: "kind", From: string(old.kind()), To: string(s.Kind), Effect: Refused, Why: "the state under this name is of another kind of job"}}
	}
	if s.Kind == KindFiles {
		return s.diffFiles(old)
	}
	var edits []Edit
	now := s.Kept()
	was, is := sinkNames(old), sinkNames(now)
	for name := range was {
		if !is[name] {
			edits = append(edits, Edit{Field: "sinks." + name, From: "set", Effect: Leaves, Why: "what it holds stays, and is no longer written"})
		}
	}
	for name := range is {
		if !was[name] {
			edits = append(edits, Edit{Field: "sinks." + name, To: "set", Effect: Adds, Why: "a new sink gets everything from the beginning"})
		}
	}
	paths := maps.Clone(map[string]string(old))
	maps.Copy(paths, now)
	for path := range paths {
		if old[path] == now[path] || s.unsaid(path, old, now) {
			continue
		}
		if name, in := sinkOf(path); in && was[name] != is[name] {
			continue
		}
		e := Edit{Field: path, From: old[path], To: now[path]}
		e.Effect, e.Why = s.effect(path)
		e.Elsewhere = e.Effect == Refused && s.forms(path)
		edits = append(edits, e)
	}
	slices.SortFunc(edits, func(a, b Edit) int { return strings.Compare(a.Field, b.Field) })
	return edits
}

// unsaid reports whether a difference comes from another version of godwit and
// not from the file: an option that was not known then and is not given now, or
// one that is not known any more.
func (s *Spec) unsaid(path string, old, now Kept) bool {
	_, was := old[path]
	_, is := now[path]
	if was == is {
		return false
	}
	e := s.Source
	if name, in := sinkOf(path); in {
		for _, sink := range s.Sinks {
			if sink.Name == name {
				e = sink.Endpoint
			}
		}
		path = strings.TrimPrefix(path, "sinks."+name+".")
	} else {
		path = strings.TrimPrefix(path, "source.")
	}
	rest, same := strings.CutPrefix(path, e.Driver+".")
	return same && (was || !given(e.Values, strings.Split(rest, ".")))
}

// OtherForm is why an edit is refused that would leave a target half in one form and half in
// another.
const OtherForm = "what was written so far lies elsewhere or has another form"

// effect tells what an edit of one option does. What is not known to be harmless
// is refused: a target half in one form and half in another helps nobody.
func (s *Spec) effect(path string) (Effect, string) {
	top, _, _ := strings.Cut(path, ".")
	switch top {
	case "until", "parallel", "chunk_size":
		return Applies, "at the next start"
	case "source":
		return Checked, "the server must continue the history the target holds"
	case "name":
		return Refused, "the target belongs to the job's name"
	case "tables":
		return Chooses, "added tables are copied while the others go on; of removed ones what was written stays"
	case "mode", "start":
		return Refused, "what was moved so far began otherwise"
	}
	name, _ := sinkOf(path)
	if strings.HasSuffix(path, ".on_error") {
		return Bears, "from the next attempt on"
	}
	for _, sink := range s.Sinks {
		rest, in := strings.CutPrefix(path, "sinks."+name+"."+sink.Driver+".")
		if sink.Name != name || !in {
			continue
		}
		at := strings.Split(rest, ".")
		switch {
		case live(sink.Values.Fields(), at):
			return Applies, "at the next start; nothing is read again"
		case chosen(sink.Values.Fields(), at[0]):
			return Refused, "what was moved so far is in another place"
		}
	}
	return Refused, OtherForm
}

// forms reports whether a sink's option at path says in which form the target is made.
func (s *Spec) forms(path string) bool {
	name, _ := sinkOf(path)
	for _, sink := range s.Sinks {
		rest, in := strings.CutPrefix(path, "sinks."+name+"."+sink.Driver+".")
		top, _, _ := strings.Cut(rest, ".")
		if sink.Name == name && in && slices.ContainsFunc(sink.Values.Fields(), func(f option.Field) bool { return f.Form && f.Name == top }) {
			return true
		}
	}
	return false
}

// live reports whether the option at path, or an object around it, is Live.
func live(fields []option.Field, path []string) bool {
	name, _, _ := strings.Cut(path[0], "[") // of an item of a list
	for _, f := range fields {
		if f.Name == name {
			return f.Live || len(path) > 1 && live(f.Fields, path[1:])
		}
	}
	return false
}

// chosen reports whether the named option says where the target is.
func chosen(fields []option.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f option.Field) bool { return f.Name == name && f.Choice })
}

func sinkOf(path string) (string, bool) {
	rest, in := strings.CutPrefix(path, "sinks.")
	name, _, _ := strings.Cut(rest, ".")
	return name, in
}

func sinkNames(k Kept) map[string]bool {
	out := map[string]bool{}
	for path := range k {
		if name, in := sinkOf(path); in {
			out[name] = true
		}
	}
	return out
}
