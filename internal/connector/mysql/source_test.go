package mysql

import (
	"context"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/limit"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

// shared is one server for all tests that do not change its settings: each uses
// a database of its own.
var shared struct {
	once   sync.Once
	server *mariadb.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func server(t testing.TB) *mariadb.Server {
	t.Helper()
	shared.once.Do(func() {
		shared.server, shared.err = mariadb.Launch("--innodb-buffer-pool-size=128M", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0", "--max-allowed-packet=128M", "--innodb-log-file-size=512M")
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// space makes an empty database named after the test and returns its name.
func space(t testing.TB, srv *mariadb.Server) string {
	t.Helper()
	name := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '-' {
			return '_'
		}
		return r
	}, t.Name()))
	srv.Exec(t, "CREATE OR REPLACE DATABASE `"+name+"` CHARACTER SET utf8mb4")
	return name
}

// impatient are desks for tests, which do not wait as long as a server may.
func impatient() *desks { return &desks{heartbeat: time.Second} }

// sourceOf opens the source for a server; the budget must be empty at the end.
func sourceOf(t testing.TB, srv *mariadb.Server, more map[string]any) *source {
	t.Helper()
	given := map[string]any{"address": srv.Addr(), "user": srv.User, "password": secret.New(srv.Password)}
	for k, v := range more {
		given[k] = v
	}
	env := connector.Env{Budget: limit.NewBudget(64 << 20), Job: "test", Parallel: 2}
	s, err := impatient().source(context.Background(), option.Of(options(), given), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if n := env.Budget.Taken(); n != 0 {
			t.Errorf("%d bytes of the budget were not given back", n)
		}
	})
	return s
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// discover returns the tables of a database, numbered from 1.
func discover(t testing.TB, s *source, patterns ...string) []*row.Table {
	t.Helper()
	tables, _, err := s.Discover(within(t), connector.Selector{Patterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range tables {
		x.Number, x.Version = uint32(i+1), 1
	}
	return tables
}

func tableNamed(t testing.TB, tables []*row.Table, name string) *row.Table {
	t.Helper()
	for _, x := range tables {
		if x.Name.Table == name {
			return x
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

// printCell prints a cell as the server's client would print the value.
func printCell(b *row.Batch, typ row.Type, w uint64, f row.Flag) string {
	if f != row.Value {
		return mariadb.Null
	}
	switch typ.Kind {
	case row.Int:
		return strconv.FormatInt(int64(w), 10)
	case row.Uint, row.Bits:
		return strconv.FormatUint(w, 10)
	case row.Year:
		return fmt.Sprintf("%04d", w)
	case row.Float32:
		return printDouble(float64(math.Float32frombits(uint32(w))))
	case row.Float64:
		return printDouble(math.Float64frombits(w))
	case row.Date:
		y, m, d := row.UnpackDate(w)
		return fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	case row.DateTime:
		y, m, d, us := row.UnpackDateTime(w)
		return fmt.Sprintf("%04d-%02d-%02d ", y, m, d) + clock(us, typ.Scale)
	case row.Timestamp:
		if w == 1<<63 {
			return "0000-00-00 " + clock(0, typ.Scale)
		}
		at := time.UnixMicro(int64(w)).UTC()
		return at.Format("2006-01-02 ") + clock(int64(w)-at.Truncate(24*time.Hour).UnixMicro(), typ.Scale)
	case row.Time:
		if v := int64(w); v < 0 {
			return "-" + clock(-v, typ.Scale)
		}
		return clock(int64(w), typ.Scale)
	case row.Bytes:
		return fmt.Sprintf("%X", b.Data(w))
	}
	return string(b.Data(w))
}

// printDouble prints 1e15 and more with an exponent, as the server does.
func printDouble(f float64) string {
	if a := math.Abs(f); a != 0 && (a >= 1e15 || a < 1e-15) {
		return strings.Replace(strconv.FormatFloat(f, 'e', -1, 64), "e+", "e", 1)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func clock(us int64, digits int) string {
	s := us / 1e6
	out := fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
	if digits > 0 {
		out += "." + fmt.Sprintf("%06d", us%1e6)[:digits]
	}
	return out
}

// readAll reads the chunks of a table and returns its rows as text, sorted, and
// the rows of each chunk.
func readAll(t testing.TB, s *source, table *row.Table, chunkBytes int64) (rows []string, sizes []int) {
	t.Helper()
	splits, err := s.Splits(within(t), connector.Request{Table: table, ChunkBytes: chunkBytes})
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for i, sp := range splits {
		if want := fmt.Sprintf("%d.0.%d", table.Number, i); sp.ID != want {
			t.Fatalf("chunk has id %s, want %s", sp.ID, want)
		}
		before := len(rows)
		batches := 0
		err := s.Read(within(t), sp, position0, func(b *row.Batch) error {
			defer b.Release()
			if batches++; batches == 1 && (b.Rows() != 0 || b.End.IsZero()) {
				t.Error("the first batch is not a mark")
			}
			for k := range b.Sections() {
				sec := &b.Sections()[k]
				for r := sec.Row; r < sec.Row+sec.Rows; r++ {
					words, flags := b.Cells(sec, r)
					var cells []string
					for c := range words {
						cells = append(cells, printCell(b, sec.Table.Columns[c].Type, words[c], flags[c]))
					}
					rows = append(rows, strings.Join(cells, "|"))
					if o := b.Order(r); o <= last && b.Rows() > 0 && sameMark(o, last) {
						t.Fatal("orders do not rise")
					} else {
						last = o
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(rows)-before)
	}
	sort.Strings(rows)
	return rows, sizes
}

func sameMark(a, b string) bool {
	return len(a) >= prefixBytes && len(b) >= prefixBytes && a[:prefixBytes] == b[:prefixBytes]
}

// position0 is what bounded reads are given: they ignore it.
var position0 = position.Position{}
