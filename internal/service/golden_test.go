package service

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/job"
)

// The golden files are databases of every version there ever was, as SQL.
func TestOpen_when_an_older_version_wrote_it(t *testing.T) {
	for version := 1; version <= folderVersion; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) { openGolden(t, version) })
	}
}

func openGolden(t *testing.T, version int) {
	text, err := os.ReadFile(fmt.Sprintf("testdata/server-v%d.sql", version))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	if got := schemaOf(t, w.folder.firm); version == folderVersion && !strings.Contains(string(text), got) {
		t.Errorf("the schema is another one now; it needs a new version:\n%s", got)
	}
	w.close()
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(w.dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.stands("running", api.StatusRunning)
	if v := w.stands("paused", api.StatusPaused); v.Version != 2 || v.Group != "shop" || v.Wish.By != "ana" {
		t.Errorf("%+v", v)
	}
	if s := w.jobs["running"].stateNow(); s.Tasks[0].Attempt < 4 || s.Desired != job.WantRunning {
		t.Errorf("%+v", s)
	}
	page, err := w.Audit(t.Context(), api.AuditParams{Q: "backup"})
	if err != nil || len(page.Items) != 1 || page.Items[0].Request != "r-7" {
		t.Errorf("%+v, %v", page, err)
	}
	if v, err := w.Version(t.Context(), "paused", 2); err != nil || len(v.Changes) != 1 || v.File == "" {
		t.Errorf("%+v, %v", v, err)
	}
	if version >= 2 {
		goldenTemplates(w)
	}
	if schemaOf(t, w.folder.firm) != schemaOf(t, newWorld(t).folder.firm) {
		t.Error("what was brought up differs from what is new")
	}
}

// goldenTemplates looks at what is kept from version 2 on: a roll-out that was promised
// goes on, and what was refused stays so.
func goldenTemplates(w *world) {
	w.await("running", "rolled out", func(v api.Job) bool { return v.Version == 2 && v.TemplateVersion == 2 && !v.TemplateBehind })
	v := w.await("paused", "behind", func(v api.Job) bool { return v.TemplateBehind && v.TemplateVersion == 1 && v.Version == 2 })
	if v.Values["folder"] != "sea" || v.TemplateError == nil || v.TemplateError.Code != "JOB_EDIT" || v.TemplateError.What != "it lies elsewhere" {
		w.t.Errorf("%+v", v)
	}
	one, err := w.ShowTemplate(w.t.Context(), "shards")
	if err != nil || one.Version != 2 || one.Note != "all" || one.Jobs != 2 || one.Behind != 1 || len(one.Parameters) != 2 {
		w.t.Errorf("%+v, %v", one, err)
	}
}

// schemaOf is how the tables of this package are made.
func schemaOf(t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.Query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name IN ('job', 'state', 'version', 'command', 'answer', 'audit', 'template', 'template_version', 'made') ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out.WriteString(text + ";\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
