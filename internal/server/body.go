package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// Bounds of a body: a job file of 1 MiB as JSON text, where line ends and quotes take
// two bytes, and what stands beside it.
const (
	bodyBytes = 2<<20 + 64<<10
	formBytes = 4 << 10
	dropBytes = 8 << 20
)

// Errors of a body that have a status of their own.
var (
	errTooLarge = errors.New("the body is too large")
	errNotJSON  = errors.New("the body is not of the type that is taken")
)

// decode reads the body of a request as JSON of the form that the document gives T:
// no other keys, nothing missing, no null. Beyond that its values must still be
// looked at. It answers itself when it returns false.
func decode[T any](w http.ResponseWriter, r *http.Request, into *T) bool {
	text, err := readBody(w, r, "application/json", bodyBytes)
	if err == nil {
		err = parse(text, into)
	}
	if err != nil {
		refuseBody(w, r, err)
		return false
	}
	return true
}

func parse[T any](text []byte, into *T) error {
	if !utf8.Valid(text) {
		return fault.New(fault.BadRequest, "the body is not UTF-8")
	}
	if !json.Valid(text) {
		return notJSON(text)
	}
	if err := strict("", text, reflect.TypeFor[T]()); err != nil {
		return err
	}
	return misfit(json.Unmarshal(text, into))
}

// notJSON says where a text stops being JSON.
func notJSON(text []byte) error {
	var v any
	err := json.Unmarshal(text, &v)
	e := fault.New(fault.BadRequest, "the body is not JSON").By(err)
	var at *json.SyntaxError
	if errors.As(err, &at) {
		e.At("byte %d", at.Offset)
	}
	return e
}

// misfit puts into words that a value is not of its field's type.
func misfit(err error) error {
	if err == nil {
		return nil
	}
	var at *json.UnmarshalTypeError
	if errors.As(err, &at) {
		return fault.New(fault.BadRequest, "%s must be %s, not %s", at.Field, kindOf(at.Type), at.Value).At("byte %d", at.Offset)
	}
	return fault.New(fault.BadRequest, "a value of the body does not fit").By(err)
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "an object"
	}
	return "a text"
}

// oneOf is a text that must be one of several words, as generated types are.
type oneOf interface{ Valid() bool }

// strict says what keeps raw, which is JSON, from being of the form of t:
// encoding/json alone would take null for anything, keys in small or large letters,
// and objects that lack what they need.
func strict(where string, raw json.RawMessage, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if string(bytes.TrimSpace(raw)) == "null" {
		return fault.New(fault.BadRequest, "%s may not be null", orBody(where)).Try("leave the key out")
	}
	switch {
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		return strictObject(where, raw, t)
	case t.Implements(reflect.TypeFor[oneOf]()):
		v := reflect.New(t)
		if err := json.Unmarshal(raw, v.Interface()); err == nil && !v.Elem().Interface().(oneOf).Valid() {
			return fault.New(fault.BadRequest, "%s: %.80q is not known", where, v.Elem().String())
		}
	case t.Kind() == reflect.Map:
		var have map[string]json.RawMessage
		if json.Unmarshal(raw, &have) != nil {
			return fault.New(fault.BadRequest, "%s must be an object", orBody(where))
		}
		for key, value := range have {
			if err := strict(fmt.Sprintf("%s.%.80s", where, key), value, t.Elem()); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return fault.New(fault.BadRequest, "%s must be a list", orBody(where))
		}
		for i, item := range items {
			if err := strict(fmt.Sprintf("%s[%d]", where, i), item, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func strictObject(where string, raw json.RawMessage, t reflect.Type) error {
	var have map[string]json.RawMessage
	if json.Unmarshal(raw, &have) != nil {
		return fault.New(fault.BadRequest, "%s must be an object", orBody(where))
	}
	known, types := keys(t)
	for key := range have {
		if _, ok := types[key]; !ok {
			e := fault.New(fault.BadRequest, "%s: no such key", strings.TrimPrefix(where+"."+fmt.Sprintf("%.80s", key), "."))
			e.Hint = "known: " + strings.Join(known, ", ")
			if near := option.Nearest(key, known); near != "" {
				e.Hint = fmt.Sprintf("did you mean %q? ", near) + e.Hint
			}
			return e
		}
	}
	for _, key := range known {
		value, ok := have[key]
		at := strings.TrimPrefix(where+"."+key, ".")
		switch {
		case ok:
			if err := strict(at, value, types[key].Type); err != nil {
				return err
			}
		case !strings.Contains(types[key].Tag.Get("json"), ",omitempty"):
			return fault.New(fault.BadRequest, "%s is missing", at)
		}
	}
	return nil
}

// keys returns the keys of an object of the document. In its types those that may be
// left out have omitempty.
func keys(t reflect.Type) ([]string, map[string]reflect.StructField) {
	var names []string
	fields := map[string]reflect.StructField{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		fields[name] = t.Field(i)
	}
	slices.Sort(names)
	return names, fields
}

func orBody(where string) string {
	if where == "" {
		return "the body"
	}
	return where
}

// readBody reads a body of one type, as long as it is within most bytes and comes
// within bodyTime.
func readBody(w http.ResponseWriter, r *http.Request, want string, most int64) ([]byte, error) {
	if kind, rest, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != want ||
		rest["charset"] != "" && !strings.EqualFold(rest["charset"], "utf-8") || r.Header.Get("Content-Encoding") != "" {
		return nil, fault.New(fault.BadRequest, "the body must be of the type %s, in UTF-8 and not compressed", want).By(errNotJSON)
	}
	if r.ContentLength > most {
		return nil, tooLarge(most)
	}
	rc := visitOf(r).out.rc
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	_ = rc.SetReadDeadline(time.Time{}) // else it would break off the request itself
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge(most)
	}
	if err != nil {
		return nil, fault.New(fault.BadRequest, "the body did not come whole").By(err)
	}
	return text, nil
}

func tooLarge(most int64) error {
	return fault.New(fault.BadRequest, "the body has more than %d bytes", most).By(errTooLarge)
}

func refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errTooLarge):
		drop(w, r)
		problemWith(w, r, http.StatusRequestEntityTooLarge, err)
	case errors.Is(err, errNotJSON):
		problemWith(w, r, http.StatusUnsupportedMediaType, err)
	default:
		problem(w, r, err)
	}
}

// drop reads what is left of a body that is too large, up to a point: a client that
// still sends would not hear why it was refused.
func drop(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	if r.Header.Get("Expect") != "" {
		return // it asked before it sent
	}
	_ = visitOf(r).out.rc.SetReadDeadline(time.Now().Add(bodyTime))
	_, _ = io.CopyN(io.Discard, r.Body, dropBytes)
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	text, err := readBody(w, r, "application/x-www-form-urlencoded", formBytes)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, fault.New(fault.BadRequest, "the form cannot be read")
	}
	return form, nil
}
