package job

import (
	"errors"
	"strings"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/transfer/selection"
)

// Values of delete_extraneous.
const (
	extraneousNever  = "never"
	extraneousDryRun = "dry_run"
	extraneousDelete = "within_limit"
)

// kindField is in job files of both kinds.
var kindField = option.Field{Name: "kind", Kind: option.Enum, Values: []string{string(KindTables), string(KindFiles)}, Default: string(KindTables),
	Help: "What the job moves: `tables` are rows and their changes, `files` are objects between stores."}

// FileFields declares the job file of a file job: its own keys, and under source
// and sink the options of every store in reg.
func FileFields(reg store.Registry) []option.Field {
	stores := reg.Fields()
	return append([]option.Field{
		{Name: "version", Kind: option.Int, Default: int64(1), Min: 1, Help: "The form of this file. Absent means 1."},
		{Name: "name", Kind: option.Text, Required: true, Check: checkName, Example: "media-move",
			Help: "The job's name: 1 to 64 of a-z, 0-9 and -. Its state is kept under it."},
		kindField,
		{Name: "source", Kind: option.Object, Required: true, Fields: stores, Help: "Where objects come from: exactly one store, or its URL. Keys are relative to its folder or prefix. A folder must be there."},
		{Name: "sink", Kind: option.Object, Required: true, Fields: stores, Help: "Where objects go: exactly one store, or its URL. It may neither be the source, nor lie in it or around it, unless `exclude`, `prefixes` or `rename` keep them apart."},
	}, append(choosingFields(), movingFields()...)...)
}

// choosingFields declare which objects are moved, and under which names.
func choosingFields() []option.Field {
	moment := func(v any) error { _, err := parseMoment(v.(string)); return err }
	return []option.Field{
		{Name: "prefixes", Kind: option.List, Max: 1000, Example: `["2025/", "2026/"]`, Help: "Only keys that begin with one of these; nothing else is listed. Absent: everything."},
		{Name: "include", Kind: option.List, Max: 1000, Check: checkGlob, Example: `["*.jpg", "/raw/**"]`,
			Help: "Only keys that match one of these globs: `*` and `?` stay within one part of a key, `**` does not; `[a-z]` and `{a,b}` are alternatives; a leading `/` holds at the root, otherwise a glob matches the end of a key from any `/` on; one that ends with `/` takes everything below."},
		{Name: "exclude", Kind: option.List, Max: 1000, Check: checkGlob, Example: `["*.tmp", "cache/"]`, Help: "Keys that are left out, whatever `include` says. Globs as there."},
		{Name: "newer_than", Kind: option.Text, Check: moment, Example: "7d", Help: "Only objects changed after this: a time such as `2026-11-21T14:00:00Z`, a date (its beginning, UTC), or an age, counted back from the start of each round."},
		{Name: "older_than", Kind: option.Text, Check: moment, Example: "1h", Help: "Only objects changed before this; as `newer_than`."},
		{Name: "size_min", Kind: option.Size, Help: "Only objects of at least this size.", Example: "1KiB"},
		{Name: "size_max", Kind: option.Size, Help: "Only objects of at most this size. Absent: any.", Example: "5GiB"},
		{Name: "list", Kind: option.Object, Help: "A file that names the objects, instead of a listing of the source.", Fields: []option.Field{
			{Name: "file", Kind: option.Text, Required: true, Machine: option.DataPath, Example: "wanted.txt", Help: "The path; a relative one counts from the job file's folder."},
			{Name: "format", Kind: option.Enum, Values: []string{"lines", "csv"}, Default: "lines",
				Help: "`lines`: one key a line. `csv`: a header with the column `key`; other columns are left alone."},
		}},
		{Name: "rename", Kind: option.Objects, Max: 100, Help: "Other names in the target. The first rule that matches a key counts. Of keys that get one name the first is copied, the others fail.", Fields: []option.Field{
			{Name: "from", Kind: option.Text, Example: "2025/", Help: "What the key begins with; with `pattern: true` a regular expression (RE2) that matches somewhere in it."},
			{Name: "to", Kind: option.Text, Example: "archive/2025/", Help: "What stands there instead; with `pattern: true`, `$1` and `${name}` stand for groups (write `$${name}`)."},
			{Name: "pattern", Kind: option.Bool, Help: "`from` is a regular expression. Each object is then asked for in the target by itself."},
		}},
	}
}

// movingFields declare how objects are moved.
func movingFields() []option.Field {
	share := func(v any) error { _, _, err := parseShare(v.(string)); return err }
	return []option.Field{
		{Name: "overwrite", Kind: option.Enum, Values: []string{"never", "if_newer", "if_different", "always"}, Default: "if_different",
			Help: "What happens to an object that the target has already. `if_different`: its size differs, or the source is newer, or checksums in the listings differ. `if_newer`: the source is newer."},
		{Name: "delete_extraneous", Kind: option.Enum, Values: []string{extraneousNever, extraneousDryRun, extraneousDelete}, Default: extraneousNever,
			Help: "Objects that only the target has. `dry_run`: they are counted and listed in the report. `within_limit`: they are deleted, and none of them when there are more than `delete_limit`. What `include`, `exclude`, `prefixes` and the like leave out is never deleted. With `rename` only where no two keys can get one name."},
		{Name: "delete_limit", Kind: option.Text, Default: "10%", Check: share, Example: "1000", Help: "How many objects of the target may be deleted in a round: a number, or a share of the target's objects. A source without any object that the job chooses deletes nothing, unless this is `100%`."},
		{Name: "delete_source", Kind: option.Enum, Values: []string{"never", "after_verify"}, Default: "never",
			Help: "`after_verify`: an object of the source is deleted once its copy is there and was checked."},
		{Name: "every", Kind: option.Duration, Min: int64(time.Second), Max: int64(365 * 24 * time.Hour), Live: true, Example: "1h",
			Help: "The job goes on for ever, in rounds that begin this long after one another. Absent: one round."},
		{Name: "limits", Kind: option.Object, Live: true, Help: "What the job may take of networks and stores, a second. Absent: as much as they give.", Fields: append(rateFields(),
			option.Field{Name: "times", Kind: option.Objects, Max: 100, Help: "Other limits at times of the day.", Fields: append([]option.Field{
				{Name: "between", Kind: option.Text, Required: true, Example: "08:00-18:00", Help: "From when to when, local time. The first item that fits counts, instead of the limits above.",
					Check: checkHours}}, rateFields()...)})},
		{Name: "attributes", Kind: option.Object, Help: "What objects have besides their contents. Content type and the like, metadata, tags, mode and times are kept wherever both sides can.", Fields: []option.Field{
			{Name: "owner", Kind: option.Bool, Help: "Also keep who a file belongs to; that needs the right to give files away."},
			{Name: "class", Kind: option.Text, Example: "STANDARD_IA", Help: "The storage class of the copies. Absent: the target's usual one."},
		}},
		{Name: "verify", Kind: option.Enum, Values: []string{"strongest", "read_back"}, Default: "strongest",
			Help: "How each copy is checked before it counts. `strongest`: by the strongest checksum that the target gives for what it stored, by size only where it gives none. `read_back`: the copy is read again as well."},
		{Name: "parallel", Kind: option.Int, Default: int64(0), Min: 1, Max: 512, Example: "64", Help: "Most requests at once. Absent: adapted to what the stores take."},
		{Name: "part_size", Kind: option.Size, Default: int64(0), Min: 5 << 20, Max: 5 << 30, Example: "16MiB", Help: "The size of the parts that large objects are sent in. Absent: 16 MiB, more for very large objects."},
	}
}

func rateFields() []option.Field {
	return []option.Field{
		{Name: "bytes", Kind: option.Size, Example: "50MiB", Help: "Bytes a second."},
		{Name: "requests", Kind: option.Int, Min: 1, Max: 1_000_000, Default: int64(0), Example: "500", Help: "Requests a second, to each of the two stores."},
	}
}

func checkHours(v any) error {
	if _, _, err := limit.ParseHours(v.(string)); err != nil {
		return errors.New("expected two times of day such as 08:00-18:00; 22:00-06:00 goes over midnight")
	}
	return nil
}

func checkGlob(v any) error {
	if _, err := selection.New(selection.Rules{Include: []string{v.(string)}}); err != nil {
		_, why, _ := strings.Cut(fault.Of(err).What, "is not a glob: ")
		return errors.New("expected a glob such as *.jpg or /raw/**: " + why)
	}
	return nil
}
