package server

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// Bounds of the document that more than one field has. A test holds all of them
// against it.
const (
	maxFile   = 1 << 20 // characters
	maxText   = 500     // notes, reasons
	maxWord   = 64      // groups, ids
	maxItem   = 300     // names of tables and tasks
	maxItems  = 10_000
	maxSearch = 200
	maxAfter  = 400
	maxPage   = 1000
	usualPage = 100
)

var goodName = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)

// flaws finds what is wrong with the values of a request; the first counts.
type flaws struct{ err *fault.Error }

func (f *flaws) add(format string, args ...any) {
	if f.err == nil {
		f.err = fault.New(fault.BadRequest, format, args...).Try("the contract is at /api/v1/openapi.yaml")
	}
}

// name looks at the name of a job or token.
func (f *flaws) name(field, v string) {
	if !goodName.MatchString(v) {
		f.add("%s is no name: it has 1 to 64 small letters, digits and hyphens, and begins and ends with a letter or digit", field)
	}
}

// given is name for what may be left out.
func (f *flaws) given(field, v string, q url.Values) {
	if q.Has(field) {
		f.name(field, v)
	}
}

func (f *flaws) text(field, v string, most int) {
	if n := utf8.RuneCountInString(v); n > most {
		f.add("%s has %d characters, at most %d are taken", field, n, most)
	}
}

// textGiven is text for what may be left out.
func (f *flaws) textGiven(field string, v *string, most int) {
	if v != nil {
		f.text(field, *v, most)
	}
}

func (f *flaws) texts(field string, vs []string) {
	if len(vs) > maxItems {
		f.add("%s has %d items, at most %d are taken", field, len(vs), maxItems)
		return
	}
	for i, v := range vs {
		f.text(fmt.Sprintf("%s[%d]", field, i), v, maxItem)
	}
}

func (f *flaws) statuses(field string, vs []api.Status) {
	const most = 16
	if len(vs) > most {
		f.add("%s has %d items, at most %d are taken", field, len(vs), most)
	}
	for _, v := range vs {
		word(f, field, v)
	}
}

// page looks at what pages are asked with, and fills in how long one is usually.
func (f *flaws) page(q url.Values, limit *int, after string) {
	if !q.Has("limit") {
		*limit = usualPage
	}
	f.number("limit", int64(*limit), 1, maxPage)
	f.text("after", after, maxAfter)
}

func (f *flaws) number(field string, v, least, most int64) {
	if v < least || v > most {
		f.add("%s is %d, it must be from %d to %d", field, v, least, most)
	}
}

// word looks at a parameter that is one of several known words; those of a body are
// looked at by decode.
func word[W interface {
	~string
	Valid() bool
}](f *flaws, field string, v W) {
	if !v.Valid() {
		f.add("%s: %.80q is not known", field, string(v))
	}
}

// wordGiven is word for a parameter that may be left out.
func wordGiven[W interface {
	~string
	Valid() bool
}](f *flaws, field string, v W, q url.Values) {
	if q.Has(field) {
		word(f, field, v)
	}
}

// truth looks at a parameter that is true or false, and nothing else.
func (f *flaws) truth(field string, q url.Values) {
	if v := q.Get(field); q.Has(field) && v != "true" && v != "false" {
		f.add("%s must be true or false", field)
	}
}

// refused answers a request that has flaws.
func (f *flaws) refused(w http.ResponseWriter, r *http.Request) bool {
	if f.err == nil {
		return false
	}
	problem(w, r, f.err)
	return true
}

// lists are the parameters that may be given more than once.
var lists = map[string][]string{
	"GET /api/v1/jobs": {"status"}, "GET /api/v1/jobs/{name}/tasks": {"status"}, "GET /api/v1/jobs/{name}/tables": {"status"},
	"GET /api/v1/history": {"job", "series"},
}

// query returns the parameters of a request for an operation. One that is broken is refused rather
// than passed over: a filter that is not applied shows too much, or does.
func (f *flaws) query(r *http.Request, pattern string) url.Values {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		f.add("the parameters cannot be read: %s", strings.TrimSpace(err.Error()))
	}
	for key, values := range q {
		if len(values) > 1 && !slices.Contains(lists[pattern], key) {
			f.add("the parameter %.80q is given %d times", key, len(values))
		}
		for _, v := range append(values, key) {
			if !utf8.ValidString(v) {
				f.add("the parameters are not UTF-8")
			}
		}
	}
	return q
}
