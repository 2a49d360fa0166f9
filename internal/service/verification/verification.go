// Package verification keeps what verifications of jobs found, and when they are due.
// Its tables are in the database of a server (docs/formats/server.md).
package verification

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// Version is that of a report as it is stored.
const Version = 1

// Kept is how many reports of a job are kept. The last one that finished is kept
// besides, however many followed that did not: it has the verdict.
const Kept = 5

const schema = `
CREATE TABLE IF NOT EXISTS verification (id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, state TEXT NOT NULL, report TEXT NOT NULL, differences TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS verification_job ON verification (job, id);
CREATE TABLE IF NOT EXISTS verify_schedule (job TEXT PRIMARY KEY, schedule TEXT NOT NULL, since TEXT NOT NULL) STRICT;`

// Tables are those that have rows of a job in their column job: who forgets a job
// drops them.
var Tables = [...]string{"verification", "verify_schedule"}

// Keeper reads what is kept. It is safe for concurrent use; what is written goes
// through the transactions of others, so that it is there together with what they write.
type Keeper struct{ db *sql.DB }

// stored is a report as it is stored; its differences, which may be long, stand beside
// it.
type stored struct {
	V            int              `json:"v"`
	Verification api.Verification `json:"verification"`
}

func broken(cause error) error {
	return fault.New(fault.StateBroken, "the server's verifications cannot be read or written").By(cause)
}

// Open makes the tables if they are missing, and notes of verifications that an
// earlier process did not carry through that they were broken off. A report of a newer
// version gives fault.FormatNewer, with nothing touched.
func Open(db *sql.DB) (*Keeper, error) {
	k := &Keeper{db}
	if _, err := db.Exec(schema); err != nil {
		return nil, broken(err)
	}
	all, err := k.read("SELECT id, report FROM verification ORDER BY id")
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if Ended(v.State) {
			continue
		}
		v.State, v.WaitsFor, v.Compared = api.VerificationStateBrokenOff, "", nil
		if err := put(db, v); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Ended reports whether a verification in this state goes on no more.
func Ended(s api.VerificationState) bool {
	return s != api.VerificationStateWaiting && s != api.VerificationStateRunning
}

// read reads reports.
func (k *Keeper) read(query string, args ...any) (out []api.Verification, err error) {
	rows, err := k.db.Query(query, args...)
	if err != nil {
		return nil, broken(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var text []byte
		var s stored
		if err := rows.Scan(&id, &text); err != nil {
			return nil, broken(err)
		}
		err := json.Unmarshal(text, &s)
		switch {
		case s.V > Version:
			return nil, fault.New(fault.FormatNewer, "a verification of this server has version %d, this program knows %d", s.V, Version).Try("use the newer godwit")
		case err != nil:
			return nil, broken(err)
		}
		s.Verification.ID = id
		out = append(out, s.Verification)
	}
	if err := rows.Err(); err != nil {
		return nil, broken(err)
	}
	return out, nil
}

// Of returns the reports of a job that are kept, newest first and without their
// differences.
func (k *Keeper) Of(job string) ([]api.Verification, error) {
	return k.read("SELECT id, report FROM verification WHERE job = ? ORDER BY id DESC", job)
}

// Differences returns those that a verification found and that are kept; one that is
// not kept any more has none.
func (k *Keeper) Differences(id int64) (out []api.Difference, err error) {
	var text []byte
	err = k.db.QueryRow("SELECT differences FROM verification WHERE id = ?", id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return nil, broken(err)
	}
	return out, nil
}

// Begin keeps a verification that begins, gives it its number, and drops what is too
// much of its job.
func Begin(tx *sql.Tx, v *api.Verification) error {
	done, err := tx.Exec("INSERT INTO verification (job, state, report, differences) VALUES (?, ?, '', '')", v.Job, v.State)
	if err != nil {
		return broken(err)
	}
	if v.ID, err = done.LastInsertId(); err != nil {
		return broken(err)
	}
	if err := put(tx, *v); err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM verification WHERE job = ?1 AND id NOT IN (SELECT id FROM verification WHERE job = ?1 ORDER BY id DESC LIMIT ?2)
		AND id NOT IN (SELECT max(id) FROM verification WHERE job = ?1 AND state = ?3)`, v.Job, Kept, api.VerificationStateFinished)
	if err != nil {
		return broken(err)
	}
	return nil
}

// Put keeps how a verification that was begun ended.
func Put(tx *sql.Tx, v api.Verification) error { return put(tx, v) }

// writer is a database, or a transaction in it.
type writer interface {
	Exec(query string, args ...any) (sql.Result, error)
}

func put(to writer, v api.Verification) error {
	differences, err := json.Marshal(append([]api.Difference{}, v.Differences...))
	if err != nil {
		return err
	}
	v.Differences = nil
	text, err := json.Marshal(stored{Version, v})
	if err != nil {
		return err
	}
	if _, err := to.Exec("UPDATE verification SET state = ?, report = ?, differences = ? WHERE id = ?", v.State, string(text), string(differences), v.ID); err != nil {
		return broken(err)
	}
	return nil
}

// Schedule is when the verifications of a job are due.
type Schedule struct {
	Text  string    // as it is kept; empty: never by itself
	Since time.Time // when it was set
}

// SetSchedule keeps another schedule of a job.
func SetSchedule(tx *sql.Tx, job string, s Schedule) error {
	_, err := tx.Exec("INSERT OR REPLACE INTO verify_schedule (job, schedule, since) VALUES (?, ?, ?)", job, s.Text, s.Since.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return broken(err)
	}
	return nil
}

// Schedules returns the schedules of all jobs that have one.
func (k *Keeper) Schedules() (map[string]Schedule, error) {
	rows, err := k.db.Query("SELECT job, schedule, since FROM verify_schedule WHERE schedule <> ''")
	if err != nil {
		return nil, broken(err)
	}
	defer rows.Close()
	out := map[string]Schedule{}
	for rows.Next() {
		var job, since string
		var s Schedule
		if err := rows.Scan(&job, &s.Text, &since); err != nil {
			return nil, broken(err)
		}
		if s.Since, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return nil, broken(err)
		}
		out[job] = s
	}
	if err := rows.Err(); err != nil {
		return nil, broken(err)
	}
	return out, nil
}
