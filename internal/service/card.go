package service

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/service/verification"
)

// card is what is kept of a job besides its state and the versions of its file.
type card struct {
	name, kind, way       string
	group, note, schedule string
	version               int64
	created, updated      time.Time
	updatedBy             string
	wish                  api.Wish
	trouble               *job.Failure // why it has no life, though one is wanted
	failed                int64        // objects that the last run of a file job left undone
	began                 time.Time    // when the last run was called for; zero: none was
	ended                 time.Time    // when the last run ended; zero: it has not
	leaving               bool         // it is being deleted
}

// putCard keeps a card.
func putCard(tx *sql.Tx, r card) error {
	trouble := ""
	if r.trouble != nil {
		trouble = jsonText(r.trouble)
	}
	_, err := tx.Exec(`INSERT OR REPLACE INTO job (name, kind, way, grp, note, schedule, version, created, updated, updated_by, desired, wish_by, wish_reason, wish_since,
		trouble, failed, began, ended, leaving) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.name, r.kind, r.way, r.group, r.note, r.schedule, r.version, stamp(r.created), stamp(r.updated), r.updatedBy,
		r.wish.Desired, r.wish.By, r.wish.Reason, stamp(r.wish.Since), trouble, r.failed, stamp(r.began), stamp(r.ended), r.leaving)
	return err
}

// putState keeps a job's state, and forgets the commands that have gone into it:
// those up to through.
func putState(tx *sql.Tx, name string, s job.State, through int64) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT OR REPLACE INTO state (job, state) VALUES (?, ?)", name, b); err != nil {
		return err
	}
	if through == 0 {
		return nil
	}
	_, err = tx.Exec("DELETE FROM command WHERE job = ? AND seq <= ?", name, through)
	return err
}

// rows reads all jobs that are kept.
func (f *folder) rows() ([]card, error) {
	found, err := f.firm.Query(`SELECT name, kind, way, grp, note, schedule, version, created, updated, updated_by, desired, wish_by, wish_reason, wish_since,
		trouble, failed, began, ended, leaving FROM job ORDER BY name`)
	if err != nil {
		return nil, f.broken(err)
	}
	defer found.Close()
	var out []card
	for found.Next() {
		var r card
		var created, updated, since, trouble, began, ended string
		if err := found.Scan(&r.name, &r.kind, &r.way, &r.group, &r.note, &r.schedule, &r.version, &created, &updated, &r.updatedBy,
			&r.wish.Desired, &r.wish.By, &r.wish.Reason, &since, &trouble, &r.failed, &began, &ended, &r.leaving); err != nil {
			return nil, f.broken(err)
		}
		r.created, r.updated, r.wish.Since, r.began, r.ended = unstamp(created), unstamp(updated), unstamp(since), unstamp(began), unstamp(ended)
		if trouble != "" {
			r.trouble = &job.Failure{}
			if err := json.Unmarshal([]byte(trouble), r.trouble); err != nil {
				return nil, f.broken(err)
			}
		}
		out = append(out, r)
	}
	return out, f.check(found.Err())
}

// state reads a job's state.
func (f *folder) state(name string) (s job.State, err error) {
	var b []byte
	if err := f.firm.QueryRow("SELECT state FROM state WHERE job = ?", name).Scan(&b); err != nil {
		return s, f.broken(err)
	}
	return s, json.Unmarshal(b, &s)
}

// kept is one version of a job's file, and what tells later edits of it.
type kept struct {
	api.Version
	kept job.Kept
}

func putVersion(tx *sql.Tx, name string, v kept) error {
	_, err := tx.Exec("INSERT INTO version (job, version, at, who, reason, text, kept, changes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		name, v.Version.Version, stamp(v.At), v.By, v.Reason, v.File, jsonText(v.kept), jsonText(v.Changes))
	return err
}

// version reads one version of a job's file.
func (f *folder) version(name string, n int64) (v kept, err error) {
	var at, keptText, changes string
	v.Version.Version = n
	err = f.firm.QueryRow("SELECT at, who, reason, text, kept, changes FROM version WHERE job = ? AND version = ?", name, n).
		Scan(&at, &v.By, &v.Reason, &v.File, &keptText, &changes)
	if errors.Is(err, sql.ErrNoRows) {
		return v, fault.New(fault.VersionUnknown, "job %s has no version %d", name, n).Try("godwit job versions %s lists those it has", name)
	}
	if err == nil {
		v.At = unstamp(at)
		err = errors.Join(json.Unmarshal([]byte(keptText), &v.kept), json.Unmarshal([]byte(changes), &v.Changes))
	}
	return v, f.check(err)
}

// versions reads all versions of a job's file, newest first, without texts.
func (f *folder) versions(name string) ([]api.Version, error) {
	found, err := f.firm.Query("SELECT version, at, who, reason, changes FROM version WHERE job = ? ORDER BY version DESC", name)
	if err != nil {
		return nil, f.broken(err)
	}
	defer found.Close()
	out := []api.Version{}
	for found.Next() {
		var v api.Version
		var at, changes string
		if err := found.Scan(&v.Version, &at, &v.By, &v.Reason, &changes); err != nil {
			return nil, f.broken(err)
		}
		v.At = unstamp(at)
		if err := json.Unmarshal([]byte(changes), &v.Changes); err != nil {
			return nil, f.broken(err)
		}
		out = append(out, v)
	}
	return out, f.check(found.Err())
}

// forget drops everything that is kept of a job but its audit.
func (f *folder) forget(name string) error {
	return f.promise(func(tx *sql.Tx) error {
		for _, table := range append([]string{"state", "version", "command", "made"}, verification.Tables[:]...) {
			if _, err := tx.Exec("DELETE FROM "+table+" WHERE job = ?", name); err != nil {
				return err
			}
		}
		_, err := tx.Exec("DELETE FROM job WHERE name = ?", name)
		return err
	})
}
