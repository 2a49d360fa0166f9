package mysql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// keptSample is a log of 4 files of 100 bytes, each begun an hour after the one
// before, the last half an hour ago.
func keptSample(settings map[string]string) kept {
	now := time.Unix(1_700_000_000, 0)
	k := kept{now: now, settings: settings}
	for i := range uint32(4) {
		k.files = append(k.files, logFile{place{log: "l", base: "bin", file: 10 + i}, 100})
	}
	k.begun = func(f logFile) (time.Time, error) {
		return now.Add(-30 * time.Minute).Add(-time.Duration(13-f.file) * time.Hour), nil
	}
	return k
}

func TestRetention_when_time_or_size_limits_the_log(t *testing.T) {
	const reach = 3*time.Hour + 30*time.Minute // 400 bytes: 114 an hour
	for _, c := range []struct {
		name     string
		settings map[string]string
		file     uint32
		want     connector.Retention
	}{
		{"no limit", nil, 11, connector.Retention{Spare: 1, Behind: 2}},
		{"by time, file ended 90 minutes ago", map[string]string{keptSeconds: "18000"}, 11,
			connector.Retention{Kept: 5 * time.Hour, By: keptSeconds, Left: 5*time.Hour - 90*time.Minute, Spare: 1, Behind: 2}},
		{"by time, overdue", map[string]string{keptSeconds: "3600"}, 11,
			connector.Retention{Kept: time.Hour, By: keptSeconds, Left: 0, Spare: 1, Behind: 2}},
		{"by time, the file that is written", map[string]string{keptSeconds: "3600"}, 13,
			connector.Retention{Kept: time.Hour, By: keptSeconds, Left: time.Hour, Spare: 3}},
		{"by days alone", map[string]string{keptDays: "0.5"}, 12,
			connector.Retention{Kept: 12 * time.Hour, By: keptDays, Left: 12*time.Hour - 30*time.Minute, Spare: 2, Behind: 1}},
		{"by size", map[string]string{keptBytes: "800", keptSeconds: "0"}, 12,
			connector.Retention{Kept: 7 * time.Hour, By: keptBytes, Left: 600 * reach / 400, Spare: 2, Behind: 1}},
		{"size before time", map[string]string{keptBytes: "400", keptSeconds: "36000"}, 10,
			connector.Retention{Kept: reach, By: keptBytes, Left: 0, Behind: 3}},
		{"time before size", map[string]string{keptBytes: "40000", keptSeconds: "7200"}, 12,
			connector.Retention{Kept: 2 * time.Hour, By: keptSeconds, Left: 90 * time.Minute, Spare: 2, Behind: 1}},
		{"gone", map[string]string{keptSeconds: "3600"}, 9, connector.Retention{Kept: time.Hour, By: keptSeconds, Lost: true}},
	} {
		got, err := keptSample(c.settings).retention(&place{log: "l", base: "bin", file: c.file, offset: 50})
		if err != nil {
			t.Fatal(err)
		}
		c.want.Reach, c.want.Removed, c.want.Longer = reach, 9, got.Longer
		if got.Left-c.want.Left < time.Second && c.want.Left-got.Left < time.Second {
			got.Left = c.want.Left // reckoned in floating point
		}
		if d := got.Kept - c.want.Kept; d < time.Second && d > -time.Second {
			got.Kept = c.want.Kept
		}
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
		if by := c.want.By; by != "" && !strings.HasPrefix(got.Longer, "SET GLOBAL "+by+" = ") {
			t.Errorf("%s: %s", c.name, got.Longer)
		}
	}
}

func TestRetention_when_the_log_of_a_server_is_purged(t *testing.T) {
	srv := mariadb.Start(t)
	s := sourceOf(t, srv, nil)
	srv.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id int primary key); FLUSH BINARY LOGS; INSERT INTO d.t VALUES (1)")
	need, _, err := s.Head(within(t), 0) // in bin.000002
	if err != nil {
		t.Fatal(err)
	}
	look := func(at position.Position) connector.Retention {
		t.Helper()
		r, err := s.Retention(within(t), at)
		if err != nil {
			t.Fatal(err)
		}
		if r.Reach < 0 || r.Reach > time.Minute {
			t.Errorf("reaches back %v", r.Reach)
		}
		r.Reach, r.Longer = 0, ""
		return r
	}
	want := func(got, want connector.Retention) {
		t.Helper()
		if d := want.Left - got.Left; d >= 0 && d < time.Minute {
			got.Left = want.Left // time passes
		}
		if got != want {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	}
	want(look(position.Position{}), connector.Retention{})
	want(look(need), connector.Retention{Spare: 1})
	srv.Exec(t, "INSERT INTO d.t VALUES (2); FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	want(look(need), connector.Retention{Spare: 1, Behind: 2})
	srv.Exec(t, "SET GLOBAL binlog_expire_logs_seconds = 7200")
	want(look(need), connector.Retention{Kept: 2 * time.Hour, By: keptSeconds, Left: 2 * time.Hour, Spare: 1, Behind: 2})
	purgeTo(t, srv, "bin.000002")
	want(look(need), connector.Retention{Kept: 2 * time.Hour, By: keptSeconds, Left: 2 * time.Hour, Behind: 2, Removed: 1})
	purgeTo(t, srv, "bin.000003")
	want(look(need), connector.Retention{Kept: 2 * time.Hour, By: keptSeconds, Lost: true, Removed: 2})
	for _, c := range []struct {
		code fault.Code
		at   position.Position
	}{{fault.SourceDiverged, position.New("mariadb:1", need.Order(), need.Token())}, {fault.SourceProtocol, position.New(need.Log(), "x", "1 not a place")}} {
		if _, err := s.Retention(within(t), c.at); !fault.Has(err, c.code) {
			t.Errorf("%v, want %s", err, c.code)
		}
	}
}

// TestRetention_when_many_files_are_asked_for holds the bound of what is
// remembered.
func TestRetention_when_many_files_are_asked_for(t *testing.T) {
	srv := mariadb.Start(t)
	s := sourceOf(t, srv, nil)
	for range 3 * maxBegun {
		srv.Exec(t, "FLUSH BINARY LOGS")
	}
	log := fmt.Sprintf("mariadb:%d", srv.Port)
	for i := range uint32(3 * maxBegun) {
		p := place{log: log, base: "bin", file: i + 1}
		first, err := s.begun(within(t), p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.begun(within(t), p); err != nil || !again.Equal(first) || time.Since(first) > time.Minute {
			t.Fatal(first, again, err)
		}
		if len(s.fileBegun) > maxBegun {
			t.Fatalf("%d are remembered", len(s.fileBegun))
		}
	}
}

func TestLocate_when_the_log_does_not_reach_back(t *testing.T) {
	for name, srv := range map[string]*sqlserver.Server{"MariaDB": mariadb.Start(t), "MySQL": mysql.Start(t)} {
		t.Run(name, func(t *testing.T) {
			s := sourceOf(t, srv, nil)
			first := srv.Query(t, "SHOW BINARY LOGS")[0][0]
			srv.Exec(t, "CREATE DATABASE d; FLUSH BINARY LOGS; FLUSH BINARY LOGS")
			purge(t, srv)
			begins := srv.Query(t, "SHOW BINARY LOGS")[0][0]
			for _, c := range []struct {
				text string
				at   time.Time
			}{{text: first + ":4"}, {at: time.Unix(1e9, 0)}} {
				_, err := s.Locate(within(t), c.text, c.at)
				if f := fault.Of(err); !fault.Has(err, fault.SourceLost) || !strings.Contains(f.Hint, "the log begins with "+begins) {
					t.Errorf("%v: %v, hint %q", c, err, f.Hint)
				}
			}
		})
	}
}
