package e2e

import (
	"iter"
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

// texts are the files of a table, path and contents.
func (j *job) texts(table string) iter.Seq2[string, string] {
	j.t.Helper()
	files, err := filepath.Glob(filepath.Join(j.lake(), "app", table, "*.csv"))
	if err != nil {
		j.t.Fatal(err)
	}
	return func(yield func(path, text string) bool) {
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				j.t.Fatal(err)
			}
			if !yield(path, string(b)) {
				return
			}
		}
	}
}

// line is what the snapshot wrote of a row of a table.
func (j *job) line(table, id string) string {
	j.t.Helper()
	for _, text := range j.texts(table) {
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, "r,") && strings.Contains(l, ","+id+",") {
				return l
			}
		}
	}
	j.t.Fatalf("no row %s of %s", id, table)
	return ""
}

// edit replaces old in the file of a table that has it, once.
func (j *job) edit(table, old, now string) (undo func()) {
	j.t.Helper()
	for path, text := range j.texts(table) {
		if !strings.Contains(text, old) {
			continue
		}
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				j.t.Fatal(err)
			}
		}
		write(strings.Replace(text, old, now, 1))
		return func() { write(text) }
	}
	j.t.Fatalf("no file of %s has %q", table, old)
	return nil
}

func TestVerify_when_a_table_is_in_files(t *testing.T) {
	t.Parallel()
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
	line := func(id string) string { return j.line("u", id) }
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

	// The source goes on and the job does not: of what has changed since nobody can say,
	// and what has not is certain.
	s.Exec(t, "UPDATE app.u SET n = 0 WHERE id = 777")
	undo := j.edit("u", line("778"), "")
	code, said = j.verify(s.Password)
	want(t, code, said, 4, "not_comparable", "id=777", "the target is not as far", "missing", "id=778", "1 missing, 1 not comparable")
	undo()
	if left, _ := filepath.Glob(filepath.Join(j.state(), ".verify-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A repair writes what differs and nothing else, at the place where the target is: what
// comes later in the log still counts.
func TestRepair_when_a_table_is_in_files(t *testing.T) {
	t.Parallel()
	s := one(t)
	s.Exec(t, "CREATE TABLE app.bag (a INT, b VARCHAR(10)); INSERT INTO app.bag VALUES (1, 'x'), (1, 'x'), (2, NULL), (3, 'y')")
	j := newJob(t, s)
	j.finish(s)
	spoil := func(id string) {
		j.edit("u", j.line("u", id), "")
		changed := j.line("u", "1"+id)
		j.edit("u", changed, strings.Replace(changed, ",1"+id+",1"+id, ",1"+id+",5", 1))
		extra := j.line("u", "2"+id)
		cells := strings.Split(strings.Replace(extra, ",2"+id+",", ",900"+id+",", 1), ",")
		cells[1] = cells[1][:len(cells[1])-6] + "ffff" + id // a place of its own
		j.edit("u", extra, extra+strings.Join(cells, ","))
	}
	spoil("50")
	bag := j.line("bag", "2")
	j.edit("bag", bag, "")
	s.Exec(t, "UPDATE app.u SET n = 0 WHERE id = 777") // is still to come
	code, said := run(t, s.Password, "repair", j.file(), "--state", j.state())
	want(t, code, said, 2, "missing", "app.u id=50", "different", "app.u id=150", "extra", "app.u id=90050", "app.bag", "CONFIRM_NEEDED")
	code, said = run(t, s.Password, "repair", j.file(), "--state", j.state(), "--confirm", "crossing")
	want(t, code, said, 4, "4 rows written, 1 left", "1 not comparable")
	spoil("60") // and once more at the same place
	code, said = run(t, s.Password, "repair", j.file(), "--state", j.state(), "--confirm", "crossing")
	want(t, code, said, 4, "3 rows written, 1 left")
	s.Exec(t, "UPDATE app.u SET n = 8 WHERE id IN (50, 250); DELETE FROM app.u WHERE id = 150")
	j.finish(s)
	code, said = j.verify(s.Password)
	want(t, code, said, 0, "equal: 2,003 rows")
	j.equal(s)

	// An entry that is there twice does no harm once the row is written again.
	twice := j.line("u", "300")
	j.edit("u", twice, twice+twice)
	code, said = run(t, s.Password, "repair", j.file(), "--state", j.state(), "--confirm", "crossing")
	want(t, code, said, 0, "doubled", "id=300", "1 row written, 0 left", "looked at again: equal")
	code, said = j.verify(s.Password)
	want(t, code, said, 0, "equal: 2,003 rows")
}

// Appended rows are the table as long as nothing but new rows has come.
func TestVerify_when_rows_are_appended(t *testing.T) {
	s := one(t)
	for _, c := range []struct{ files, changed string }{
		{", layout: append", "changes were appended after the snapshot"},
		{", layout: append, meta: true", "rows that were changed or deleted"},
		{", layout: append, on_update: drop", "changes were left out"},
	} {
		j := newJob(t, s, "files", c.files)
		j.finish(s)
		code, said := j.verify(s.Password)
		want(t, code, said, 0, "equal: 2,000 rows")
		file := j.appended("u", "777,777")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		spoilt := strings.Replace(string(text), "777,777\n", "777,778\n", 1)
		if err := os.WriteFile(file, []byte(spoilt), 0o644); err != nil {
			t.Fatal(err)
		}
		code, said = j.verify(s.Password)
		want(t, code, said, 4, "different", "app.u id=777")
		code, said = run(t, s.Password, "repair", j.file(), "--state", j.state(), "--confirm", "crossing")
		want(t, code, said, 4, "0 rows written, 1 left", "DIFFERENCES_FOUND")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		s.Exec(t, "UPDATE app.u SET n = n + 1 WHERE id = 777")
		j.finish(s)
		code, said = j.verify(s.Password)
		want(t, code, said, 4, "app.u not compared: appended rows are not the table as it is", c.changed)
		s.Exec(t, "UPDATE app.u SET n = n - 1 WHERE id = 777")
	}
}

// appended is the file that has a line of a table.
func (j *job) appended(table, line string) string {
	j.t.Helper()
	for path, text := range j.texts(table) {
		for l := range strings.Lines(text) {
			if strings.HasSuffix(l, ","+line+"\n") || l == line+"\n" {
				return path
			}
		}
	}
	j.t.Fatalf("no %s in %s", line, table)
	return ""
}
