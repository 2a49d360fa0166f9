package job

import (
	"errors"
	"fmt"
	"regexp"

	"godwit/internal/connector"
	"godwit/internal/option"
	"godwit/internal/route"
)

// DefaultParallel is how many chunks a table job reads at once when nobody says.
const DefaultParallel = 2

var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func checkName(value any) error {
	if !nameForm.MatchString(value.(string)) {
		return errors.New("expected 1 to 64 of a-z, 0-9 and -")
	}
	return nil
}

func checkPattern(value any) error {
	if s := value.(string); len(s) > 256 || connector.ValidPattern(s) != nil {
		return errors.New(`expected database.table; * and ? stand for any characters, a leading ! leaves out`)
	}
	return nil
}

// Fields declares the job file of a table job: its own keys, and under source and sinks the
// options of every system in reg. The job file's parser, its JSON schema and its
// reference come from it.
func Fields(reg connector.Registry) []option.Field {
	return []option.Field{
		{Name: "version", Kind: option.Int, Default: int64(1), Min: 1, Help: "The form of this file. Absent means 1."},
		{Name: "name", Kind: option.Text, Required: true, Check: checkName, Example: "shop-to-lake",
			Help: "The job's name: 1 to 64 of a-z, 0-9 and -. Targets remember it; another job cannot write to them."},
		kindField,
		{Name: "source", Kind: option.Object, Required: true, OneOf: true, Fields: sourceFields(reg),
			Help: "Where rows come from: exactly one system."},
		{Name: "tables", Kind: option.List, Required: true, Min: 1, Max: 10_000, Check: checkPattern, Example: `["shop.*", "!shop.tmp_*"]`,
			Help: "Which tables: patterns `database.table`, in which `*` stands for any characters and `?` for one. A leading `!` leaves out, whatever else matches. Put them in quotes. May be edited once the snapshot is whole: added tables are copied and join the others, removed ones leave and what was written of them stays."},
		{Name: "mode", Kind: option.Enum, Values: []string{string(SnapshotAndChanges), string(Snapshot), string(Changes)}, Default: string(SnapshotAndChanges),
			Help: "`snapshot`: the rows as they are, once. `changes`: every change from `start` on. `snapshot_and_changes`: both, without a gap or an overlap."},
		{Name: "start", Kind: option.Text, Default: "", Example: "head",
			Help: "Only with `mode: changes`: `head` (the default; the log's end when the job first runs), a time such as `2026-11-21T14:00:00Z` (the first transaction committed at or after it), or a place in the log as `godwit positions show` prints it."},
		{Name: "until", Kind: option.Text, Default: "", Example: "head",
			Help: "Where a run ends: `head` (the log's end as it stands when the run starts; the next run goes on to the new one) or a time. Absent: the job runs until it is stopped."},
		{Name: "parallel", Kind: option.Int, Default: int64(0), Min: 1, Max: 64, Example: "4",
			Help: fmt.Sprintf("How many chunks of tables are read at once. Absent: %d.", DefaultParallel)},
		{Name: "chunk_size", Kind: option.Size, Default: int64(64 << 20), Min: 16 << 10, Max: 16 << 30, Example: "64MiB",
			Help: "The size of a snapshot's chunks, by the source's estimate. A chunk is what is read again after a crash. Tables that were divided already keep their chunks."},
		{Name: "sinks", Kind: option.Objects, Required: true, Min: 1, Max: 32, Fields: sinkFields(reg),
			Help: "Where rows go. Each sink has a name of its own, exactly one system, and its own progress."},
		rulesField("As what tables reach all sinks: every rule that names a table is applied, in this order, to what those before made of it; then those of the sink."),
	}
}

func rulesField(help string) option.Field {
	return option.Field{Name: "rules", Kind: option.Objects, Max: route.MaxRules, Fields: route.Fields(), Help: help}
}

func sourceFields(reg connector.Registry) []option.Field {
	var out []option.Field
	for _, d := range reg.Sources {
		out = append(out, option.Field{Name: d.Name, Kind: option.Object, Fields: d.Options, Help: d.Help})
	}
	return out
}

func sinkFields(reg connector.Registry) []option.Field {
	out := []option.Field{{Name: "name", Kind: option.Text, Required: true, Check: checkName, Example: "lake",
		Help: "The sink's name, unique in the job: 1 to 64 of a-z, 0-9 and -."},
		rulesField("As what tables reach this sink, after the rules of the job."),
		{Name: "on_error", Kind: option.Enum, Values: ErrorModes(), Live: true,
			Help: "What the sink's failures do: errors that may pass, and rows that it refuses (`ROW_REFUSED`). `always`: tried again for ever, with an alarm. `discard_after`: after `attempts` in a row refused rows are put aside as dead letters; errors that may pass are tried again for ever. `fail_after`: after `attempts` in a row what is done fails. `fail`: it fails at once. Absent: what may pass is tried again 8 times, and a refused row fails."},
		{Name: "attempts", Kind: option.Int, Default: int64(3), Min: 1, Max: 1000, Live: true, Help: "Of `discard_after` and `fail_after`."}}
	for _, d := range reg.Sinks {
		out = append(out, option.Field{Name: d.Name, Kind: option.Object, Choice: true, Fields: d.Options, Help: d.Help})
	}
	return out
}
