package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/test/servers/toolkit"
)

// alter alters the table as pt-online-schema-change does.
func (b *busy) alter(how string) {
	b.t.Helper()
	said, err := toolkit.Change(b.server.Load(), "app", "orders", how, "--chunk-size=500", "--sleep=0.02")
	if err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(said, "Successfully altered `app`.`orders`") {
		b.t.Fatal(said)
	}
}

// alterations are what the table goes through, one after another.
var alterations = []string{"ADD COLUMN w INT NOT NULL DEFAULT 7", "MODIFY n BIGINT NOT NULL, ADD COLUMN x VARCHAR(10)"}

// TestOnline_when_all_tables_are_chosen: a job that reads the whole database follows what
// pt-online-schema-change does, reads nothing again, and its targets are exact.
func TestOnline_when_all_tables_are_chosen(t *testing.T) {
	for name, of := range map[string]kind{"MariaDB": mariaDB, "MySQL": mySQL} {
		t.Run(name, func(t *testing.T) { alteredOnline(t, of, `["app.*"]`) })
	}
}

// TestOnline_when_the_table_is_chosen_alone: the table that takes its place is read again
// by itself, and the targets are exact.
func TestOnline_when_the_table_is_chosen_alone(t *testing.T) {
	for name, of := range map[string]kind{"MariaDB": mariaDB, "MySQL": mySQL} {
		t.Run(name, func(t *testing.T) { alteredOnline(t, of, `["app.orders", "app.other"]`) })
	}
}

func alteredOnline(t *testing.T, of kind, tables string) {
	b, server := newBusy(t, of)
	pg := newShop(t)
	j := newJob(t, server, "tables", tables, "until", "", "format", "parquet", "more sinks", pg.sink())
	b.write()
	p := pg.start(t, server.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatal(p.said())
	}
	for _, how := range alterations {
		b.alter(how)
	}
	b.halt()
	p.signal(syscall.SIGTERM)
	p.wait(time.Minute)
	j.set("until", "head")
	code, said := pg.run(t, server.Password, j.args()...)
	want(t, code, said, 0)
	if alone, marked := !strings.Contains(tables, "*"), strings.Contains(p.said()+said, "needs a resync"); alone != marked {
		t.Errorf("alone: %v, and it says that a table needs a resync: %v", alone, marked)
	}
	code, said = pg.run(t, server.Password, "verify", j.file(), "--state", j.state())
	want(t, code, said, 0)
}

// TestOnline_when_swapped_twice_before_the_end: a run that comes to its end while a table
// waits to be read again waits for it, however often it was swapped.
func TestOnline_when_swapped_twice_before_the_end(t *testing.T) {
	b, server := newBusy(t, mariaDB)
	j := newJob(t, server, "tables", `["app.orders", "app.other"]`)
	j.finish(server)
	for n := range 3 {
		server.Exec(t, fmt.Sprintf("CREATE TABLE app._orders_new LIKE app.orders; ALTER TABLE app._orders_new ADD COLUMN c%d INT DEFAULT %[1]d; INSERT INTO app._orders_new SELECT *, id FROM app.orders; "+
			"RENAME TABLE app.orders TO app._orders_old, app._orders_new TO app.orders; DROP TABLE app._orders_old; DELETE FROM app.orders WHERE id MOD 7 = %[1]d", n))
	}
	j.finish(server)
	code, said := j.verify(server.Password)
	want(t, code, said, 0)
	j.equalByStatus(readTarget(t, j.lake()).status, server, "orders")
	b.halt()
}

// TestOnline_when_killed has a table swapped in under a server that is killed in the
// middle of what follows: the table is read again by itself, and the target is exact.
// Before each time that a table heals it waits twice as long, so a life has few of them.
func TestOnline_when_killed(t *testing.T) {
	lives := 1
	if soak() {
		lives = 20
	}
	for n := range lives {
		t.Run(fmt.Sprint("life ", n+1), swapAndDie)
	}
}

func swapAndDie(t *testing.T) {
	b, server := newBusy(t, mariaDB)
	s := &served{t: t, r: b.r, w: &world{t: t, of: mariaDB, server: server}, state: filepath.Join(t.TempDir(), "state")}
	j := newJob(t, server, "name", "online", "tables", `["app.orders", "app.other"]`, "until", "", "chunk_size", "32KiB")
	s.data = append(s.data, j.dir)
	b.write()
	s.start()
	s.ask("job", "submit", j.file())
	number := awaitSwapped(s, j, 0)
	for range 3 {
		server.Exec(t, "CREATE TABLE app._orders_new LIKE app.orders; INSERT INTO app._orders_new SELECT * FROM app.orders; DELETE FROM app._orders_new WHERE id % 7 = 0; "+
			"RENAME TABLE app.orders TO app._orders_old, app._orders_new TO app.orders; DROP TABLE app._orders_old")
		for range 2 {
			<-time.After(time.Duration(s.r.IntN(600)) * time.Millisecond) // where it is killed is part of the draw
			s.p.kill()
			s.start()
		}
		number = awaitSwapped(s, j, number)
	}
	b.halt()
	s.p.signal(syscall.SIGTERM)
	s.p.wait(time.Minute)
	j.set("until", "head")
	code, said := run(t, server.Password, "run", j.file(), "--state", s.state, "--json")
	want(t, code, said, 0)
	code, said = run(t, server.Password, "verify", j.file(), "--state", s.state)
	want(t, code, said, 0)
}

// awaitSwapped waits until the target has a table of another number than before under the
// table's name, whole, and returns its number.
func awaitSwapped(s *served, j *job, before uint32) uint32 {
	s.t.Helper()
	for end := time.After(time.Minute); ; {
		var st status
		if readJSON(filepath.Join(j.lake(), "_godwit/status.json"), &st) == nil {
			for _, x := range st.Tables {
				if x.Name == "app.orders" && x.Number != before && x.Complete && x.Stopped == "" {
					return x.Number
				}
			}
		}
		select {
		case <-end:
			s.t.Fatalf("the table is not read again: %+v\n%s\n%s", st, s.ask("job", "tasks", "online"), clip(s.p.said()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
