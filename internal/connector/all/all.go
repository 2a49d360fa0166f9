// Package all lists the systems that godwit knows: one line each.
package all

import (
	"context"
	"errors"
	"net/url"

	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/connector"
	"godwit/internal/connector/files"
	"godwit/internal/connector/mysql"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/s3"
)

// Registry returns every source and sink.
func Registry() connector.Registry {
	return connector.Registry{
		Sources: []connector.SourceDriver{
			mysql.Driver(),
		},
		Sinks: []connector.SinkDriver{
			files.Driver(stores(), formats()),
		},
	}
}

// stores are the stores of the sink "files", by the scheme of its URL.
func stores() map[string]files.OpenStore {
	return map[string]files.OpenStore{
		"file": func(_ context.Context, u *url.URL) (store.Store, error) {
			return local.OpenURL(u.String(), local.Options{Staging: "_godwit/staging"})
		},
	}
}

// Stores returns every store of file jobs.
func Stores() store.Registry {
	return store.Registry{
		localDriver(),
		s3.Driver(),
	}
}

// localDriver stands in for the driver of package local until that has one.
func localDriver() store.Driver {
	fields := []option.Field{{Name: "path", Kind: option.Text, Required: true, Example: "/archive/media", Help: "The folder, absolute."}}
	return store.Driver{Name: "local", Schemes: []string{"file"}, Help: "A folder of this machine, or one that is mounted.", Options: fields,
		FromURL: func(u *url.URL) (option.Values, error) {
			p, err := local.ParseURL(u.String())
			if err != nil {
				return option.Values{}, errors.New(fault.Of(err).What)
			}
			return option.Of(fields, map[string]any{"path": p}), nil
		},
		Open: func(_ context.Context, v option.Values, env store.Env) (store.Store, error) {
			return local.New(local.OS{}, v.Text("path"), local.Options{Staging: env.Staging})
		},
	}
}

// formats are the file formats; the first is the default.
func formats() []codec.Format {
	return []codec.Format{
		csv.Format,
	}
}
