package job

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/transfer/selection"
)

// Files is what a file job asks for. It is immutable.
type Files struct {
	// Source and Sink name a store each (store.Registry.Open).
	Source, Sink option.Values
	// Rules choose and rename objects; their times are set by At.
	Rules                selection.Rules
	NewerThan, OlderThan Moment
	// List, when it is not nil, names the objects instead of a listing.
	List       *List
	Overwrite  string // never, if_newer, if_different, always
	Extraneous Extraneous
	Erase      bool          // delete an object of the source after its copy was verified
	Every      time.Duration // from the start of a round to the next one; 0: one round
	Limits     Limits
	Owner      bool   // keep who a file belongs to
	Class      string // storage class of the copies; empty: the target's usual one
	ReadBack   bool   // read each copy again before it counts
	PartSize   int64  // bytes; 0: the default
}

// Moment is a time, or an age counted back from the start of a round. The zero
// Moment is no bound.
type Moment struct {
	Time time.Time
	Age  time.Duration
}

// At returns the time that m means in a round that begins at now; zero: none.
func (m Moment) At(now time.Time) time.Time {
	if m.Age > 0 {
		return now.Add(-m.Age)
	}
	return m.Time
}

// At returns the rules of a round that begins at now.
func (f *Files) At(now time.Time) selection.Rules {
	r := f.Rules
	r.NewerThan, r.OlderThan = f.NewerThan.At(now), f.OlderThan.At(now)
	return r
}

// List is a file with the names of objects.
type List struct {
	File   string // as the job file has it; relative to the job file's folder
	Format string // lines, csv
}

// Extraneous says what becomes of objects that only the target has.
type Extraneous struct {
	Delete bool // within the limit
	DryRun bool // only counted and listed
	// The limit: a number, or a share in percent of the target's objects. Exactly
	// one is set when Delete or DryRun is.
	Count   int64
	Percent float64
}

// Limits bound what a file job takes of networks and stores, a second.
type Limits struct{ Bytes, Requests limit.Rate }

// readFiles reads the keys of a file job and checks what lies across keys.
func (s *Spec) readFiles(v option.Values) (ps option.Problems) {
	f := &Files{
		Source: v.Object("source"), Sink: v.Object("sink"),
		Rules: selection.Rules{
			Prefixes: v.List("prefixes"), Include: v.List("include"), Exclude: v.List("exclude"),
			SizeMin: v.Int("size_min"), SizeMax: v.Int("size_max"),
		},
		Overwrite: v.Text("overwrite"), Erase: v.Text("delete_source") == "after_verify",
		Owner: v.Object("attributes").Bool("owner"), Class: v.Object("attributes").Text("class"),
		Every: v.Duration("every"), ReadBack: v.Text("verify") == "read_back", PartSize: v.Int("part_size"),
	}
	f.NewerThan, _ = parseMoment(v.Text("newer_than")) // checked by the field
	f.OlderThan, _ = parseMoment(v.Text("older_than"))
	if f.Rules.SizeMax > 0 && f.Rules.SizeMin > f.Rules.SizeMax {
		ps = append(ps, v.Problem("size_max", fault.JobValue, "is less than size_min: nothing would be chosen"))
	}
	if v.Given("list") {
		l := v.Object("list")
		f.List = &List{File: l.Text("file"), Format: l.Text("format")}
		if v.Given("prefixes") {
			ps = append(ps, v.Problem("prefixes", fault.JobValue, "a list file names the objects; prefixes limit a listing: leave one of the two out"))
		}
	}
	for _, o := range v.Objects("rename") {
		r := selection.Rename{From: o.Text("from"), To: o.Text("to"), Pattern: o.Bool("pattern")}
		if err := checkRename(r); err != nil {
			ps = append(ps, o.Problem("from", fault.JobValue, "%v", err))
		}
		f.Rules.Rename = append(f.Rules.Rename, r)
	}
	ps = append(ps, f.readExtraneous(v)...)
	f.Limits = readLimits(v.Object("limits"))
	s.Files = f
	return ps
}

func (f *Files) readExtraneous(v option.Values) (ps option.Problems) {
	f.Extraneous.Delete = v.Text("delete_extraneous") == extraneousDelete
	f.Extraneous.DryRun = v.Text("delete_extraneous") == extraneousDryRun
	on := f.Extraneous.Delete || f.Extraneous.DryRun
	if on {
		f.Extraneous.Count, f.Extraneous.Percent, _ = parseShare(v.Text("delete_limit")) // checked by the field
	}
	switch {
	case v.Given("delete_limit") && !on:
		ps = append(ps, v.Problem("delete_limit", fault.JobValue, "has no meaning without delete_extraneous"))
	case on && f.List != nil:
		ps = append(ps, v.Problem("delete_extraneous", fault.JobValue, "a list file names some objects of the source; what else the target may have cannot be told from it"))
	case on && !distinct(f.Rules):
		ps = append(ps, v.Problem("delete_extraneous", fault.JobValue, "with rename it cannot be told from a name in the target what it was in the source, as two keys may get one name: "+
			"rename by prefixes alone, and limit the job with prefixes to those"))
	case on && f.Erase:
		ps = append(ps, v.Problem("delete_extraneous", fault.JobValue, "with delete_source: after_verify the next run would delete what this one moved"))
	}
	return ps
}

func readLimits(v option.Values) Limits {
	l := Limits{limit.Rate{PerSecond: v.Int("bytes")}, limit.Rate{PerSecond: v.Int("requests")}}
	for _, o := range v.Objects("times") {
		from, to, _ := limit.ParseHours(o.Text("between")) // checked by the field
		l.Bytes.Hours = append(l.Bytes.Hours, limit.Hours{From: from, To: to, PerSecond: o.Int("bytes")})
		l.Requests.Hours = append(l.Requests.Hours, limit.Hours{From: from, To: to, PerSecond: o.Int("requests")})
	}
	return l
}

// parseMoment reads a time, a date, or an age such as 7d; empty is no bound.
func parseMoment(text string) (Moment, error) {
	if text == "" {
		return Moment{}, nil
	}
	if age, err := option.ParseDuration(text); err == nil && age > 0 {
		return Moment{Age: age}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return Moment{Time: day}, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return Moment{}, errors.New("expected an age such as 7d, or a time with its zone such as 2026-11-21T14:00:00Z")
	}
	return Moment{Time: t}, nil
}

// parseShare reads "1000" or "10%".
func parseShare(text string) (count int64, percent float64, err error) {
	wrong := errors.New("expected a number of objects such as 1000, or a share of the target's objects such as 10%")
	if p, ok := strings.CutSuffix(text, "%"); ok {
		percent, err = strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return 0, 0, wrong
		}
		return 0, percent, nil
	}
	if count, err = strconv.ParseInt(text, 10, 64); err != nil || count < 1 {
		return 0, 0, wrong
	}
	return count, 0, nil
}

// distinct reports whether no two keys can get one name; rules that are wrong are
// told of elsewhere.
func distinct(r selection.Rules) bool {
	s, err := selection.New(r)
	return err != nil || s.Distinct()
}

func checkRename(r selection.Rename) error {
	if _, err := selection.New(selection.Rules{Rename: []selection.Rename{r}}); err != nil {
		return errors.New(strings.TrimPrefix(fault.Of(err).What, "rename: rule 1, "))
	}
	return nil
}

// foreign tells of unknown keys that belong to the other kind of job.
func foreign(ps option.Problems, kind Kind, other []option.Field) option.Problems {
	for i, p := range ps {
		if p.Code != fault.JobField || len(p.Known) == 0 || !slices.ContainsFunc(other, func(f option.Field) bool { return f.Name == p.Path }) {
			continue
		}
		why := "a key of file jobs; this is a table job: file jobs say kind: files"
		if kind == KindFiles {
			why = "a key of table jobs; this is a file job (kind: files)"
		}
		ps[i].What, ps[i].Nearest = fmt.Sprintf("%q is %s", p.Path, why), ""
	}
	return ps
}
