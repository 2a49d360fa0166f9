package service

import (
	"database/sql"
	"encoding/json"
	"errors"
	"maps"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// made is which template a job is made from. It is immutable.
type made struct {
	template string
	version  int64 // of the template that the job's file is from
	values   api.Values
	// tried is the newest version of the template that the job was to take over, and
	// refused why it did not. A job that was not tried yet is owed it.
	tried   int64
	refused *job.Failure
}

func (j *living) madeNow() *made {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.made
}

func (j *living) nowMade(m *made) {
	j.mu.Lock()
	j.made = m
	j.mu.Unlock()
}

// show adds what templates have to do with a job to how it is shown.
func (m *made) show(out *api.Job, s *shelf) {
	if m == nil {
		return
	}
	out.Template, out.TemplateVersion, out.Values = m.template, m.version, m.values
	if newest := s.version(m.template); m.version < newest {
		out.TemplateBehind = true
		if m.tried == newest {
			out.TemplateError = faultOf(m.refused)
		}
	}
}

// putMade keeps which template a job is made from; nil: from none. One that is gone
// meanwhile is fault.NoTemplate.
func (j *living) putMade(tx *sql.Tx, m *made) error {
	if m == nil {
		_, err := tx.Exec("DELETE FROM made WHERE job = ?", j.name)
		return err
	}
	refused := ""
	if m.refused != nil {
		refused = jsonText(m.refused)
	}
	done, err := tx.Exec("INSERT OR REPLACE INTO made (job, template, version, vals, tried, refused) SELECT ?, name, ?, ?, ?, ? FROM template WHERE name = ?",
		j.name, m.version, jsonText(m.values), m.tried, refused, m.template)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, noTemplate(m.template))
	}
	return nil
}

// loadMade reads which jobs are made from templates.
func (s *Service) loadMade() error {
	found, err := s.folder.firm.Query("SELECT job, template, version, vals, tried, refused FROM made")
	if err != nil {
		return s.folder.broken(err)
	}
	defer found.Close()
	for found.Next() {
		var name, values, refused string
		m := &made{}
		if err := found.Scan(&name, &m.template, &m.version, &values, &m.tried, &refused); err != nil {
			return s.folder.broken(err)
		}
		err := json.Unmarshal([]byte(values), &m.values)
		if refused != "" {
			m.refused = &job.Failure{}
			err = errors.Join(err, json.Unmarshal([]byte(refused), m.refused))
		}
		if err != nil {
			return s.folder.broken(err)
		}
		if j := s.jobs[name]; j != nil {
			j.made = m
		}
	}
	return s.folder.check(found.Err())
}

// fromTemplate sees to what an edit has to do with templates: it makes the file from
// one, or lets the job leave its own. A file by hand would part a job from its template
// unseen, so that must be said.
func (j *living) fromTemplate(e api.EditRequest, w *want) error {
	w.made = j.madeNow()
	byHand, byTemplate := e.File != "" || e.BackTo != 0, e.Template != "" || len(e.Values) > 0
	switch {
	case byTemplate && (byHand || e.Detach):
		return fault.New(fault.BadRequest, "a job has its file by hand or from a template; expected file, back_to and detach, or template and values")
	case byTemplate:
		return j.remade(e, w)
	case e.Detach && w.made == nil:
		return fault.New(fault.BadRequest, "%s is made from no template", j.name)
	case e.Detach:
		w.made = nil
	case byHand && w.made != nil:
		return fault.New(fault.NotNow, "%s is made from template %s: a file by hand would part it from that", j.name, w.made.template).At("%s", j.name).
			Try("edit the template (godwit template edit %s FILE) or the job's values (godwit job edit %s --set NAME=VALUE); with --detach the job goes on by itself", w.made.template, j.name)
	}
	return nil
}

// remade makes the file of a job from its template, or from another one, as that is now.
func (j *living) remade(e api.EditRequest, w *want) error {
	name, values := e.Template, e.Values
	if w.made != nil && (name == "" || name == w.made.template) {
		name, values = w.made.template, maps.Clone(w.made.values)
		if values == nil {
			values = api.Values{}
		}
		maps.Copy(values, e.Values)
	}
	if name == "" {
		return fault.New(fault.BadRequest, "%s is made from no template, and has no values", j.name).Try("name a template too: godwit job edit %s --template NAME --set NAME=VALUE", j.name)
	}
	t, err := j.s.newest(name)
	if err != nil {
		return err
	}
	r, err := t.render(values, e.Values)
	if err != nil {
		return err
	}
	w.text, w.back = r.Text, &back{t, r}
	w.made = &made{template: name, version: t.version, values: values, tried: t.version}
	return nil
}

// back leads from a job file to the template it was made from.
type back struct {
	t *sheet
	r option.Rendered
}

// errors puts the places of an error where in the template they come from.
func (b *back) errors(err error) error {
	var f fileError
	if b == nil || !errors.As(err, &f) {
		return err
	}
	out := make(option.Problems, len(f.problems))
	for i, p := range f.problems {
		p.Place = b.r.Back(p.Place)
		p.Place.File, p.Line = b.t.file(), "" // the line is that of the job's file
		out[i] = p
	}
	return fileError{out}
}
