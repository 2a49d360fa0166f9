// Package all lists the systems that godwit knows: one line each.
package all

import (
	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/codec/json"
	"godwit/internal/codec/parquet"
	"godwit/internal/connector"
	"godwit/internal/connector/files"
	"godwit/internal/connector/mysql"
	"godwit/internal/connector/postgres"
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
			files.Driver(Stores(), formats()),
			postgres.Driver(),
		},
	}
}

// Stores returns every store: of file jobs, and of the sink "files".
func Stores() store.Registry {
	return store.Registry{
		local.Driver(),
		s3.Driver(),
	}
}

// formats are the file formats; the first is the default.
func formats() []codec.Format {
	return []codec.Format{
		csv.Format,
		parquet.Format,
		json.Format,
	}
}
