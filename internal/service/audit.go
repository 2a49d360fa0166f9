package service

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// Bounds of the audit log; the oldest entries go first.
const (
	auditAge  = 90 * 24 * time.Hour
	auditRows = 100_000
)

// putEntry adds to the audit log and gives the entry its time and number.
func (s *Service) putEntry(tx *sql.Tx, e *api.Entry) error {
	e.At = s.o.Now().UTC()
	e.From, e.To, e.Reason = cut(e.From), cut(e.To), cut(e.Reason)
	done, err := tx.Exec("INSERT INTO audit (at, who, job, what, was, became, reason, outcome, code, request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		stamp(e.At), e.By, e.Job, e.What, e.From, e.To, e.Reason, e.Outcome, e.Code, e.Request)
	if err == nil {
		e.ID, err = done.LastInsertId()
	}
	return err
}

// mostText bounds each text of an entry, bytes: an act may name ten thousand tables.
const mostText = 1000

func cut(text string) string {
	if len(text) <= mostText {
		return text
	}
	return strings.ToValidUTF8(text[:mostText], "") + "…"
}

func (s *Service) tellEntry(e api.Entry) { s.parts.hub.Tell("audit", e.Job, e) }

// Note adds to the audit log what was refused before it reached the service.
func (s *Service) Note(_ context.Context, e api.Entry) {
	if s.closing() {
		return
	}
	if err := s.folder.promise(func(tx *sql.Tx) error { return s.putEntry(tx, &e) }); err != nil {
		s.o.Log.Error("the audit log cannot be written", "error", err)
		return
	}
	s.tellEntry(e)
}

// note adds how what somebody asked for ended. What is done is better noted together
// with it.
func (s *Service) note(who Who, e api.Entry, err error) {
	e.By, e.Request, e.Outcome = who.Name, who.Request, api.EntryOutcomeDone
	if err != nil {
		f := fault.Of(err)
		e.Code, e.Outcome = string(f.Code), api.EntryOutcomeFailed
		if f.Class() == fault.User {
			e.Outcome = api.EntryOutcomeRefused
		}
	}
	s.Note(context.Background(), e)
}

// noteOwn adds what the server did by itself.
func (s *Service) noteOwn(e api.Entry) { s.note(Who{Name: byServer}, e, nil) }

// Audit lists who changed what, newest first.
func (s *Service) Audit(_ context.Context, q api.AuditParams) (api.AuditPage, error) {
	page := api.AuditPage{Items: []api.Entry{}}
	if s.closing() {
		return page, errGone()
	}
	var before cursor
	if err := before.read(q.After, "audit"); err != nil {
		return page, err
	}
	query, args := "SELECT id, at, who, job, what, was, became, reason, outcome, code, request FROM audit WHERE 1", []any{}
	if q.After != "" {
		query, args = query+" AND id < ?", append(args, int64(before.Key))
	}
	if q.Job != "" {
		query, args = query+" AND job = ?", append(args, q.Job)
	}
	if q.Q != "" {
		query += " AND instr(lower(who || ' ' || job || ' ' || what || ' ' || was || ' ' || became || ' ' || reason || ' ' || code), lower(?)) > 0"
		args = append(args, q.Q)
	}
	limit := limited(q.Limit)
	found, err := s.folder.firm.Query(query+" ORDER BY id DESC LIMIT "+strconv.Itoa(limit+1), args...)
	if err != nil {
		return page, s.folder.broken(err)
	}
	defer found.Close()
	for found.Next() {
		var e api.Entry
		var at string
		if err := found.Scan(&e.ID, &at, &e.By, &e.Job, &e.What, &e.From, &e.To, &e.Reason, &e.Outcome, &e.Code, &e.Request); err != nil {
			return page, s.folder.broken(err)
		}
		e.At = unstamp(at)
		page.Items = append(page.Items, e)
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = cursor{Of: "audit", Key: float64(page.Items[limit-1].ID)}.text()
	}
	return page, s.folder.check(found.Err())
}

// tidy drops what is too old to be kept.
func (s *Service) tidy() {
	now := s.o.Now()
	err := s.folder.promise(func(tx *sql.Tx) error {
		if _, err := tx.Exec("DELETE FROM audit WHERE at < ? OR id <= (SELECT max(id) FROM audit) - ?", stamp(now.Add(-auditAge)), auditRows); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM answer WHERE at < ?", stamp(now.Add(-answerAge)))
		return err
	})
	if err != nil {
		s.o.Log.Error("old entries cannot be dropped", "error", err)
	}
}
