package store

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// Env is what a store gets from its process.
type Env struct {
	// Log takes lines for people: retries, warnings. Never secrets. nil: none.
	Log *slog.Logger
	// Getenv looks up the environment, for systems whose credentials may stand
	// there; nil: nothing does, and nothing else of this machine that the options do
	// not name is taken either, such as files of its users or its role.
	Getenv func(name string) (string, bool)
	// Staging is the folder (a key) for what is being written, where the store
	// needs one; empty: its own choice. It is never listed.
	Staging string
	// Requests is how many requests at once the store should be ready for; 0: its
	// own choice.
	Requests int
	// Slow is told of each answer that asks to slow down; may be nil.
	Slow func()
	// Request is called before each request to the system and waits until it may be
	// sent; its error ends what the request was for. nil: at once.
	Request func(ctx context.Context) error
}

// Driver makes stores of one system.
type Driver struct {
	Name    string   // the key in a job file
	Schemes []string // of its URLs
	Help    string
	Options []option.Field
	// FromURL makes the options that a URL of one of Schemes stands for. Errors do
	// not repeat the URL, which may hold a password.
	FromURL func(u *url.URL) (option.Values, error)
	// Open checks what can be checked without a connection. It may connect;
	// fault.StoreUnreachable, fault.StoreAuth and so on say what is wrong.
	Open func(ctx context.Context, v option.Values, env Env) (Store, error)
}

// Registry lists the systems that a binary knows. It is a value, made in
// connector/all.
type Registry []Driver

// Fields declares the options of an object that names a store: exactly one of url
// and the systems' names must be given.
func (r Registry) Fields() []option.Field {
	var schemes []string
	for _, d := range r {
		for _, s := range d.Schemes {
			schemes = append(schemes, s+"://")
		}
	}
	fields := []option.Field{{
		Name: "url", Kind: option.Text, Choice: true, Example: "file:///archive/media",
		Help: "The store as a URL (" + strings.Join(schemes, ", ") + "); everything else comes from the environment and defaults.",
		Check: func(v any) error {
			_, _, err := r.parse(v.(string))
			return err
		},
		Stands: func(text string) (option.Values, error) {
			_, v, err := r.parse(text)
			return v, err
		},
	}}
	for _, d := range r {
		fields = append(fields, option.Field{Name: d.Name, Kind: option.Object, Choice: true, Fields: d.Options, Help: d.Help})
	}
	return fields
}

// Open opens the store that v, checked by Fields, names.
func (r Registry) Open(ctx context.Context, v option.Values, env Env) (Store, error) {
	name := v.Chosen()
	if name == "url" {
		d, o, err := r.parse(v.Text("url"))
		if err != nil {
			return nil, fault.New(fault.JobValue, "url: %v", err).At("%s", v.Place("url"))
		}
		return d.Open(ctx, o, env)
	}
	for _, d := range r {
		if d.Name == name {
			return d.Open(ctx, v.Object(name), env)
		}
	}
	return nil, fault.New(fault.JobMissing, "no store is named").At("%s", v.At())
}

func (r Registry) parse(text string) (Driver, option.Values, error) {
	u, err := url.Parse(text)
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err
	}
	switch {
	case err != nil:
		return Driver{}, option.Values{}, errors.New("it is not a URL: " + err.Error())
	case u.Scheme == "":
		return Driver{}, option.Values{}, errors.New("it has no scheme; a folder of this machine is written file:///path")
	}
	for _, d := range r {
		for _, s := range d.Schemes {
			if s == u.Scheme {
				v, err := d.FromURL(u)
				return d, v, err
			}
		}
	}
	return Driver{}, option.Values{}, errors.New("no store is known for " + u.Scheme + "://")
}
