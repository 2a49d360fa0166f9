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

// layoutAppend is the table's own columns: each row once, updates as new rows.
const layoutAppend = "append"

// onChange are the values of on_update and on_delete.
var onChange = []string{appendRow, dropRow, failRow}

// options declares what stands under "files" in a job file: the store, and how it
// is written to.
func options(stores store.Registry, formats []codec.Format) []option.Field {
	fields := append(stores.Fields(), []option.Field{
		{Name: "format", Kind: option.Enum, Default: formats[0].Name, Values: formatNames(formats), Example: formats[0].Name, Form: true,
			Help: "The format of the files. Its options stand beside it, under its name."},
		{Name: "layout", Kind: option.Enum, Default: layoutChangelog, Values: []string{layoutChangelog, layoutAppend}, Form: true,
			Help: "What a file holds. `changelog`: every row of the snapshot and every change after it, with the columns `_op`, `_pos`, `_ts`, `_txn` and `_absent` before the table's own. `append`: the table's own columns only; each row once, in no order, and an updated row again as a new one."},
		{Name: "path", Kind: option.Text, Default: defaultPath, Check: checkPattern, Example: "{database}/{table}/dt={column:created_at:date}", Form: true,
			Help: "The folder of a file. `{database}` and `{table}` stand in it first, once each. What follows divides the rows of a table: `{date}`, `{year}`, `{month}`, `{day}` and `{hour}` of the commit, in UTC (rows of the snapshot have none), `{column:NAME}` by the value of a column, and `{column:NAME:date}` (or `year`, `month`, `day`, `hour`) by the time in one. What has no value lies in `__HIVE_DEFAULT_PARTITION__`."},
		{Name: "meta", Kind: option.Bool, Form: true, Help: "Of `layout: append`: files have the changelog's columns too."},
		{Name: "on_update", Kind: option.Enum, Default: appendRow, Values: onChange, Live: true,
			Help: "Of `layout: append`: what becomes of an updated row. `append`: it is written again as it is now. `drop`: it is left out and counted. `fail`: the sink stops."},
		{Name: "on_delete", Kind: option.Enum, Default: dropRow, Values: onChange, Live: true,
			Help: "Of `layout: append`: what becomes of a deleted row. `append`: it is written again as it was last. `drop`: it is left out and counted. `fail`: the sink stops. A table that is truncated or dropped counts as one."},
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
		fields = append(fields, option.Field{Name: f.Name, Kind: option.Object, Form: true, Fields: f.Options, Help: f.Help + " Options of `format: " + f.Name + "`."})
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
	p, err := parsePath(v.Text("path"))
	if err != nil {
		return c, fault.New(fault.JobValue, "path: %v", err).At("%s", v.Place("path"))
	}
	c.Path = &p
	if err := c.readLayout(v); err != nil {
		return c, err
	}
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

func checkPattern(v any) error {
	text, _ := v.(string)
	_, err := parsePath(text)
	return err
}

// readLayout reads what belongs to the layout.
func (c *config) readLayout(v option.Values) error {
	if c.Layout == layoutAppend {
		c.Append = appending{v.Bool("meta"), v.Text("on_update"), v.Text("on_delete")}
		return nil
	}
	for _, name := range []string{"meta", "on_update", "on_delete"} {
		if v.Given(name) {
			return fault.New(fault.JobValue, "%s belongs to layout append, but the layout is %s", name, c.Layout).At("%s", v.Place(name))
		}
	}
	return nil
}
