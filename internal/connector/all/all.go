// Package all lists the systems that godwit knows: one line each.
package all

import (
	"context"
	"net/url"

	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/connector"
	"godwit/internal/connector/files"
	"godwit/internal/connector/mysql"
	"godwit/internal/store"
	"godwit/internal/store/local"
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

// formats are the file formats; the first is the default.
func formats() []codec.Format {
	return []codec.Format{
		csv.Format,
	}
}
