package service

import (
	"database/sql"
	"errors"

	"godwit/internal/api"
	"godwit/internal/fault"
)

func putTemplate(tx *sql.Tx, t api.Template) error {
	_, err := tx.Exec("INSERT OR REPLACE INTO template (name, version, note, created, updated, updated_by) VALUES (?, ?, ?, ?, ?, ?)",
		t.Name, t.Version, t.Note, stamp(t.Created), stamp(t.Updated), t.UpdatedBy)
	return err
}

func putTemplateVersion(tx *sql.Tx, name string, v api.Version) error {
	_, err := tx.Exec("INSERT INTO template_version (template, version, at, who, reason, text) VALUES (?, ?, ?, ?, ?, ?)",
		name, v.Version, stamp(v.At), v.By, v.Reason, v.File)
	return err
}

// forgetTemplate drops a template that no job is made from.
func forgetTemplate(tx *sql.Tx, name string) error {
	var jobs int
	if err := tx.QueryRow("SELECT count(*) FROM made WHERE template = ?", name).Scan(&jobs); err != nil {
		return err
	}
	if jobs > 0 {
		return fault.New(fault.NotNow, "%d jobs are made from template %s", jobs, name).At("%s", name).
			Try("delete or detach them first: godwit template jobs %s lists them", name)
	}
	done, err := tx.Exec("DELETE FROM template WHERE name = ?", name)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, noTemplate(name))
	}
	_, err = tx.Exec("DELETE FROM template_version WHERE template = ?", name)
	return err
}

// templateVersion reads one version of a template.
func (f *folder) templateVersion(name string, n int64) (v api.Version, err error) {
	var at string
	v.Version = n
	err = f.firm.QueryRow("SELECT at, who, reason, text FROM template_version WHERE template = ? AND version = ?", name, n).Scan(&at, &v.By, &v.Reason, &v.File)
	if errors.Is(err, sql.ErrNoRows) {
		return v, fault.New(fault.BadRequest, "template %s has no version %d", name, n).Try("godwit template versions %s lists those it has", name)
	}
	v.At = unstamp(at)
	return v, f.check(err)
}

// templateVersions reads all versions of a template, newest first, without texts.
func (f *folder) templateVersions(name string) ([]api.Version, error) {
	found, err := f.firm.Query("SELECT version, at, who, reason FROM template_version WHERE template = ? ORDER BY version DESC", name)
	if err != nil {
		return nil, f.broken(err)
	}
	defer found.Close()
	out := []api.Version{}
	for found.Next() {
		var v api.Version
		var at string
		if err := found.Scan(&v.Version, &at, &v.By, &v.Reason); err != nil {
			return nil, f.broken(err)
		}
		v.At = unstamp(at)
		out = append(out, v)
	}
	return out, f.check(found.Err())
}

// loadTemplates reads the templates that are kept, and the jobs that are made from them.
func (s *Service) loadTemplates() error {
	found, err := s.folder.firm.Query(`SELECT t.name, t.version, t.note, t.created, t.updated, t.updated_by, v.text
		FROM template t JOIN template_version v ON v.template = t.name AND v.version = t.version`)
	if err != nil {
		return s.folder.broken(err)
	}
	defer found.Close()
	for found.Next() {
		t := api.Template{Parameters: []api.Parameter{}}
		var created, updated, text string
		if err := found.Scan(&t.Name, &t.Version, &t.Note, &created, &updated, &t.UpdatedBy, &text); err != nil {
			return s.folder.broken(err)
		}
		t.Created, t.Updated = unstamp(created), unstamp(updated)
		if parsed, err := s.parseTemplate(templateFile, text); err == nil { // else it says so when it is used
			t.Parameters = parameters(parsed)
		}
		s.shelf.put(t)
	}
	if err := found.Err(); err != nil {
		return s.folder.broken(err)
	}
	return s.loadMade()
}
