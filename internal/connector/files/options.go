package files

import (
	"time"

	"godwit/internal/codec"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

// layoutChangelog is a row for each change and each row of the snapshot, with
// columns that order them (docs/layouts.md).
const layoutChangelog = "changelog"

// options declares what stands under "files" in a job file: the store, and how it
// is written to.
func options(stores store.Registry, formats []codec.Format) []option.Field {
	fields := append(stores.Fields(), []option.Field{
		{Name: "format", Kind: option.Enum, Default: formats[0].Name, Values: formatNames(formats), Example: formats[0].Name,
			Help: "The format of the files. Its options stand beside it, under its name."},
		{Name: "layout", Kind: option.Enum, Default: layoutChangelog, Values: []string{layoutChangelog},
			Help: "What a file holds. `changelog`: every row of the snapshot and every change after it, with the columns `_op`, `_pos`, `_ts`, `_txn` and `_absent` before the table's own."},
		{Name: "roll", Kind: option.Object, Live: true, Help: "When files are closed and commits are made.", Fields: []option.Field{
			{Name: "size", Kind: option.Size, Default: int64(128 << 20), Min: 64 << 10, Max: 64 << 30, Live: true, Example: "128MiB",
				Help: "A file is closed when it has this size, and a commit ends at the first end of a transaction after as much in all its files."},
			{Name: "every", Kind: option.Duration, Default: 30 * time.Second, Min: int64(time.Second), Max: int64(24 * time.Hour), Live: true, Example: "30s",
				Help: "A commit ends at the first end of a transaction after this time. Files appear at commits."},
			{Name: "rows", Kind: option.Int, Min: 0, Max: 1 << 40, Live: true, Example: "1000000",
				Help: "A file is closed at the end of the batch that brings it to as many rows. 0: any number."},
		}},
	}...)
	fields = append(fields, unfitFields()...)
	for _, f := range formats {
		fields = append(fields, option.Field{Name: f.Name, Kind: option.Object, Fields: f.Options, Help: f.Help + " Options of `format: " + f.Name + "`."})
	}
	return fields
}

func formatNames(formats []codec.Format) []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.Name)
	}
	return out
}

// settings reads the checked values, except the store.
func settings(v option.Values, formats []codec.Format) (config, error) {
	r := v.Object("roll")
	c := config{Layout: v.Text("layout"), Format: v.Text("format"), Roll: roll{Size: r.Int("size"), Every: r.Duration("every"), Rows: r.Int("rows")}}
	for _, f := range formats {
		if f.Name != c.Format {
			if v.Given(f.Name) {
				return c, fault.New(fault.JobValue, "%s: has options, but the format is %s", f.Name, c.Format).At("%s", v.Place(f.Name))
			}
			continue
		}
		var err error
		if c.Codec, err = f.New(v.Object(f.Name)); err != nil {
			return c, err
		}
		if c.Codec, err = fit(c.Codec, v); err != nil {
			return c, err
		}
		c.Options = fixed(v.Object(f.Name), f.Options)
	}
	return c, nil
}
