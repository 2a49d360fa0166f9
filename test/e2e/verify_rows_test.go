package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// verify runs godwit verify on a table job.
func (j *job) verify(password string, more ...string) (int, string) {
	j.t.Helper()
	return run(j.t, password, append([]string{"verify", j.file(), "--state", j.state()}, more...)...)
}

// edit replaces old in the file of a table that has it, once.
func (j *job) edit(table, old, now string) (undo func()) {
	j.t.Helper()
	files, err := filepath.Glob(filepath.Join(j.lake(), "app", table, "*.csv"))
	if err != nil {
		j.t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			j.t.Fatal(err)
		}
		if !strings.Contains(string(b), old) {
			continue
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, now, 1)), 0o644); err != nil {
			j.t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				j.t.Fatal(err)
			}
		}
	}
	j.t.Fatalf("no file of %s has %q", table, old)
	return nil
}

func TestVerify_when_a_table_is_in_files(t *testing.T) {
	s := one(t)
	j := newJob(t, s)
	j.finish(s)
	code, said := j.verify(s.Password)
	want(t, code, said, 0, "equal: 2,000 rows", "lake: app.t equal: 1,000 rows")
	s.Exec(t, "UPDATE app.t SET v = CONCAT(v, '!') WHERE id % 10 = 0; DELETE FROM app.t WHERE id % 10 = 1; UPDATE app.u SET id = id + 10000 WHERE id < 10;"+
		"ALTER TABLE app.t ADD COLUMN more INT NOT NULL DEFAULT 7; INSERT INTO app.t VALUES (5001, NULL, 8), (5002, '', 9);"+
		"ALTER TABLE app.t RENAME COLUMN v TO w; INSERT INTO app.t VALUES (5003, 'x', 8); UPDATE app.t SET w = 'y' WHERE id = 2")
	j.finish(s)
	code, said = j.verify(s.Password)
	want(t, code, said, 0, "equal: 1,903 rows")

	// Each thing that may be wrong is found, and named.
	line := func(id string) string {
		files, _ := filepath.Glob(filepath.Join(j.lake(), "app", "u", "*.csv"))
		for _, path := range files {
			b, _ := os.ReadFile(path)
			for l := range strings.Lines(string(b)) {
				if strings.HasPrefix(l, "r,") && strings.Contains(l, ","+id+",") {
					return l
				}
			}
		}
		t.Fatal("no row ", id)
		return ""
	}
	l := line("777")
	for _, c := range []struct{ name, now, words string }{
		{"a changed value", strings.Replace(l, ",777,777", ",777,778", 1), "different app.u id=777 source 777 lake 778"},
		{"a missing row", "", "missing app.u id=777"},
		{"a doubled row", l + l, "doubled app.u id=777"},
		{"NULL", strings.Replace(l, ",777,777", `,777,\N`, 1), "different app.u id=777 lake NULL"},
	} {
		undo := j.edit("u", l, c.now)
		code, said := j.verify(s.Password)
		want(t, code, said, 4, append(strings.Fields(c.words), "1 row of source and target not proven equal", "DIFFERENCES_FOUND")...)
		undo()
	}
	code, said = j.verify(s.Password, "--format", "json")
	want(t, code, said, 0, `"verdict":"equal"`, `"tables":[`)

	// The source goes on and the job does not: nobody can say.
	s.Exec(t, "UPDATE app.u SET n = 0 WHERE id = 777")
	code, said = j.verify(s.Password)
	want(t, code, said, 4, "not_comparable", "id=777", "the target is not as far as the source")
	if left, _ := filepath.Glob(filepath.Join(j.state(), ".verify-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
