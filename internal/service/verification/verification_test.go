package verification

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

func database(t *testing.T, text string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
	return db
}

func open(t *testing.T, db *sql.DB) *Keeper {
	t.Helper()
	k, err := Open(db)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func golden(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/verification-v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// in does something in a transaction.
func in(t *testing.T, db *sql.DB, do func(*sql.Tx) error) {
	t.Helper()
	tx, err := db.Begin()
	if err == nil {
		err = do(tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func of(t *testing.T, k *Keeper, job string) []api.Verification {
	t.Helper()
	all, err := k.Of(job)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The golden file has all that version 1 ever wrote.
func TestOpen_when_written_by_version_1(t *testing.T) {
	text := golden(t)
	for line := range strings.Lines(schema) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(text, line) {
			t.Errorf("the schema is another one now: %s", line)
		}
	}
	k := open(t, database(t, text))
	all := of(t, k, "media")
	if len(all) != 3 || all[0].ID != 4 || all[0].State != api.VerificationStateBrokenOff || all[0].WaitsFor != "" || all[0].By != "schedule" || all[1].State != api.VerificationStateFailed {
		t.Fatalf("%+v", all)
	}
	v := all[2]
	if v.Verdict != api.VerdictDifferent || v.Missing != 1 || v.NotComparable != 2 || v.Equal.Objects != 20 || v.EqualBy[0].By != "md5" || v.NotCompared[0].Objects != 2 ||
		v.Differences != nil || v.Strength != "strongest" || v.NotLookedFor == "" ||
		!v.Source.From.Equal(time.Date(2026, 11, 26, 4, 0, 1, 0, time.UTC)) || !v.Target.To.Equal(v.Ended) || v.BytesRead != 7 || v.Reason != "weekly" || v.Version != 2 {
		t.Errorf("%+v", v)
	}
	d, err := k.Differences(v.ID)
	if err != nil || len(d) != 1 || d[0] != (watch.Difference{Kind: "missing", Key: "k05", Reason: "it is not in the target"}) {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := k.Differences(99); err != nil || len(d) > 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if s, err := k.Schedules(); err != nil || len(s) != 1 || s["media"].Text != "0 4 * * *" || s["media"].Since.Year() != 2026 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOpen_when_written_by_a_newer_version(t *testing.T) {
	db := database(t, strings.ReplaceAll(golden(t), `{"v":1`, `{"v":2`))
	if _, err := Open(db); !fault.Has(err, fault.FormatNewer) {
		t.Error(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM verification WHERE state = 'running'").Scan(&n); err != nil || n != 1 {
		t.Errorf("it was touched: %d, %v", n, err)
	}
}

func TestOpen_when_a_report_is_broken(t *testing.T) {
	if _, err := Open(database(t, strings.ReplaceAll(golden(t), `{"v":1`, `{"v":`))); !fault.Has(err, fault.StateBroken) {
		t.Error(err)
	}
}

// The last few are kept, and the last verdict whatever followed it.
func TestBegin_when_many_follow(t *testing.T) {
	db := database(t, "")
	k := open(t, db)
	begin := func(job string, state api.VerificationState) int64 {
		v := api.Verification{Job: job, State: api.VerificationStateWaiting, By: "ana"}
		in(t, db, func(tx *sql.Tx) error { return Begin(tx, &v) })
		v.State = state
		in(t, db, func(tx *sql.Tx) error { return Put(tx, v) })
		return v.ID
	}
	begin("other", api.VerificationStateFinished)
	begin("media", api.VerificationStateFinished)
	verdict := begin("media", api.VerificationStateFinished)
	var last int64
	for range 2 * Kept {
		last = begin("media", api.VerificationStateCancelled)
	}
	all := of(t, k, "media")
	if len(all) != Kept+1 || all[0].ID != last || all[Kept].ID != verdict {
		t.Errorf("%+v", all)
	}
	if len(of(t, k, "other")) != 1 {
		t.Error("that of another job is gone")
	}
	next := begin("media", api.VerificationStateFinished)
	if all := of(t, k, "media"); all[0].ID != next || next <= last {
		t.Errorf("%+v", all)
	}
}
