package service

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/job"
)

// The golden files are databases of every version there ever was, as SQL.
func TestOpen_when_an_older_version_wrote_it(t *testing.T) {
	text, err := os.ReadFile("testdata/server-v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	if got := schemaOf(t, w.folder.firm); !strings.Contains(string(text), got) {
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
}

// schemaOf is how the tables of this package are made.
func schemaOf(t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.Query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name IN ('job', 'state', 'version', 'command', 'answer', 'audit') ORDER BY rowid")
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
