package mysql

import (
	"strings"
	"testing"

	"godwit/test/servers/mariadb"
)

// A server that takes over is written to: what it logs while a place is looked for in its
// log makes it no other history.
func TestTranslate_when_the_server_is_written_to_meanwhile(t *testing.T) {
	srv := mariadb.Start(t, "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0")
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.a (id INT AUTO_INCREMENT PRIMARY KEY)")
	s := sourceOf(t, srv, nil)
	c, err := s.dial(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	written := make(chan error, 1)
	go func() { written <- srv.Run(strings.Repeat("INSERT INTO d.a VALUES (); DO SLEEP(0.003);", 600)) }()
	for tries := 0; ; tries++ {
		select {
		case err := <-written:
			if err != nil || tries < 20 {
				t.Fatal(tries, err)
			}
			t.Log(tries, "tries")
			return
		default:
		}
		p := head(t, s)
		at, err := parsePosition(p)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := s.translate(within(t), c, at.log, p, at); err != nil {
			t.Errorf("%s was not found: %v", s.Describe(p), err)
		} else if found.Order() != p.Order() {
			t.Errorf("%s was found at %s", s.Describe(p), s.Describe(found))
		}
	}
}
