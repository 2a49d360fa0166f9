package token

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 14, 5, 20, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func database(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func book(t testing.TB) (*Book, *clock) {
	t.Helper()
	c := newClock()
	b, err := New(database(t, filepath.Join(t.TempDir(), "server.db")), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

func (b *Book) make(t testing.TB, name string, expires time.Time) api.NewToken {
	t.Helper()
	made, err := b.Create(t.Context(), "ana", api.TokenRequest{Name: name, Role: api.Operate, Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestCreate_when_shown_once(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.db")
	b, err := New(database(t, path), newClock().now)
	if err != nil {
		t.Fatal(err)
	}
	made := b.make(t, "ci", time.Time{})
	if !regexp.MustCompile(`^gdw_[0-9A-Za-z]{49}$`).MatchString(made.Text) {
		t.Errorf("text %q", made.Text)
	}
	if other := b.make(t, "ci-2", time.Time{}); other.Text[:20] == made.Text[:20] {
		t.Errorf("%q and %q begin alike", other.Text, made.Text)
	}
	got, err := b.Bearer(t.Context(), made.Text)
	if err != nil || got.Name != "ci" || got.Role != api.Operate || got.CreatedBy != "ana" || !got.Created.Equal(newClock().at) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, file := range []string{path, path + "-wal"} {
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == path+"-wal" && !bytes.Contains(stored, []byte("ci-2")) {
			t.Error("the test looks in the wrong place")
		}
		if bytes.Contains(stored, []byte(made.Text[4:20])) {
			t.Errorf("%s holds the text", file)
		}
	}
}

func TestCreate_when_the_name_is_taken(t *testing.T) {
	b, _ := book(t)
	made := b.make(t, "ci", time.Time{})
	again := func() {
		t.Helper()
		if _, err := b.Create(t.Context(), "bo", api.TokenRequest{Name: "ci", Role: api.Read}); !fault.Has(err, fault.NameTaken) {
			t.Error(err)
		}
	}
	again()
	if _, err := b.Bearer(t.Context(), made.Text); err != nil {
		t.Errorf("the first one does not count any more: %v", err)
	}
	if err := b.Revoke(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	again()
}

func TestCreate_when_others_are_known_already(t *testing.T) {
	b, _ := book(t)
	for _, name := range []string{"a", "b"} {
		if got, err := b.Bearer(t.Context(), b.make(t, name, time.Time{}).Text); err != nil || got.Name != name {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestCreate_when_many_want_one_name(t *testing.T) {
	b, _ := book(t)
	won := make(chan string, 8)
	var all sync.WaitGroup
	for i := range cap(won) {
		all.Go(func() {
			made, err := b.Create(t.Context(), fmt.Sprint(i), api.TokenRequest{Name: "one", Role: api.Read})
			if err == nil {
				won <- made.Text
			} else if !fault.Has(err, fault.NameTaken) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d tokens of one name", len(won))
	}
	if _, err := b.Bearer(t.Context(), <-won); err != nil {
		t.Error(err)
	}
}

func TestCreate_when_the_request_is_wrong(t *testing.T) {
	b, c := book(t)
	good := api.TokenRequest{Name: "ci", Role: api.Read}
	for _, test := range []struct {
		field  string
		change func(*api.TokenRequest)
	}{
		{"name", func(r *api.TokenRequest) { r.Name = "" }},
		{"name", func(r *api.TokenRequest) { r.Name = "Ana" }},
		{"name", func(r *api.TokenRequest) { r.Name = "-a" }},
		{"name", func(r *api.TokenRequest) { r.Name = "a\n" }},
		{"name", func(r *api.TokenRequest) { r.Name = strings.Repeat("a", 65) }},
		{"role", func(r *api.TokenRequest) { r.Role = "" }},
		{"role", func(r *api.TokenRequest) { r.Role = "admin" }},
		{"expires", func(r *api.TokenRequest) { r.Expires = c.now() }},
		{"expires", func(r *api.TokenRequest) { r.Expires = c.now().Add(time.Microsecond) }},
		{"expires", func(r *api.TokenRequest) { r.Expires = c.now().Add(-time.Hour) }},
		// A listing with a year of five digits could not be written as JSON any more.
		{"expires", func(r *api.TokenRequest) {
			r.Expires = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
		}},
	} {
		r := good
		test.change(&r)
		if _, err := b.Create(t.Context(), "ana", r); !fault.Has(err, fault.BadRequest) || fault.Of(err).Where != test.field {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if all, err := b.List(t.Context()); err != nil || len(all) != 0 || all == nil {
		t.Errorf("%v, %v", all, err)
	}
	good.Name = strings.Repeat("a", 64)
	if _, err := b.Create(t.Context(), "ana", good); err != nil {
		t.Error(err)
	}
}

func TestCreate_when_there_are_too_many(t *testing.T) {
	b, _ := book(t)
	fill := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO token (name, hash, role, created, created_by) SELECT 'n' || i, randomblob(32), 'read', 0, '' FROM n`, mostTokens)
	if _, err := b.db.Exec(fill); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), "ana", api.TokenRequest{Name: "ci", Role: api.Read}); !fault.Has(err, fault.NotNow) {
		t.Error(err)
	}
}

func TestBearer_when_refused(t *testing.T) {
	b, c := book(t)
	revoked, expired := b.make(t, "revoked", time.Time{}), b.make(t, "expired", c.now().Add(time.Hour))
	if _, err := b.Bearer(t.Context(), expired.Text); err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(t.Context(), "revoked"); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	shown := map[string]bool{}
	for text, reason := range map[string]string{
		revoked.Text:           `"revoked" was revoked at`,
		expired.Text:           `"expired" expired at`,
		mint():                 "unknown",
		revoked.Text[:52]:      "mistyped, cut off",
		revoked.Text + "x":     "mistyped, cut off",
		"x":                    "mistyped, cut off",
		" ":                    "mistyped, cut off",
		"GDW_" + mint()[4:]:    "mistyped, cut off",
		strings.Repeat("x", 9): "mistyped, cut off",
	} {
		_, err := b.Bearer(t.Context(), text)
		if !fault.Has(err, fault.TokenRefused) || !strings.Contains(fmt.Sprint(fault.Of(err).Cause), reason) {
			t.Errorf("%q: %v, must say %q", text, err, reason)
			continue
		}
		if strings.Contains(err.Error(), strings.Trim(text, " x")) && strings.Trim(text, " x") != "" {
			t.Errorf("%v holds the text", err)
		}
		f := *fault.Of(err)
		f.Cause = nil
		shown[fmt.Sprintf("%+v", f)] = true
	}
	if len(shown) != 1 {
		t.Errorf("who is refused can tell why: %v", shown)
	}
	if _, err := b.Bearer(t.Context(), ""); !fault.Has(err, fault.TokenMissing) {
		t.Error(err)
	}
}

// Every slip of one letter, and of two beside each other, is found by the checksum.
func TestBearer_when_mistyped(t *testing.T) {
	b, _ := book(t)
	text := b.make(t, "ci", time.Time{}).Text
	check := func(wrong []byte) {
		if string(wrong) == text {
			return
		}
		if _, err := b.Bearer(t.Context(), string(wrong)); !fault.Has(err, fault.TokenRefused) || !strings.Contains(err.Error(), "mistyped") {
			t.Fatalf("%s for %s: %v", wrong, text, err)
		}
	}
	for i := range text {
		for _, c := range []byte("0Zaz_~") {
			wrong := []byte(text)
			wrong[i] = c
			check(wrong)
		}
		if i > 0 {
			wrong := []byte(text)
			wrong[i-1], wrong[i] = wrong[i], wrong[i-1]
			check(wrong)
		}
	}
}

func TestBearer_when_known_costs_no_sql(t *testing.T) {
	b, c := book(t)
	made := b.make(t, "ci", time.Time{})
	if _, err := b.Bearer(t.Context(), made.Text); err != nil {
		t.Fatal(err)
	}
	b.db.Close()
	for range 3 {
		if _, err := b.Bearer(t.Context(), made.Text); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Bearer(t.Context(), mint()); !fault.Has(err, fault.TokenRefused) {
			t.Fatal(err)
		}
		c.pass(time.Minute) // that its use cannot be noted keeps nobody out
	}
}

func TestBearer_when_the_database_fails(t *testing.T) {
	b, _ := book(t)
	made := b.make(t, "ci", time.Time{})
	b.db.Close()
	if _, err := b.Bearer(t.Context(), made.Text); !fault.Has(err, fault.StateBroken) {
		t.Fatal(err)
	}
}

func TestBearer_when_used_is_noted_to_the_minute(t *testing.T) {
	b, c := book(t)
	made := b.make(t, "ci", time.Time{})
	writes := func() (n int) {
		if err := b.db.QueryRow("SELECT total_changes()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := writes()
	var got api.Token
	for range 50 { // 100 s, from second 20 of a minute on
		var err error
		if got, err = b.Bearer(t.Context(), made.Text); err != nil {
			t.Fatal(err)
		}
		c.pass(2 * time.Second)
	}
	if n := writes() - before; n != 2 {
		t.Errorf("%d writes", n)
	}
	want := time.Date(2026, 11, 21, 14, 6, 0, 0, time.UTC)
	all, err := b.List(t.Context())
	if err != nil || !all[0].Used.Equal(want) || !got.Used.Equal(want) {
		t.Errorf("%v, %v, %v", all, got, err)
	}
	c.pass(-time.Hour)
	if got, err := b.Bearer(t.Context(), made.Text); err != nil || !got.Used.Equal(want) {
		t.Errorf("after the clock was put back: %v, %v", got, err)
	}
}

func TestRevoke_when_asked_at_the_same_time(t *testing.T) {
	b, _ := book(t)
	made := b.make(t, "ci", time.Time{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	begun := make(chan struct{}, 4)
	for range cap(begun) {
		all.Go(func() {
			for first := true; ctx.Err() == nil; first = false {
				_, err := b.Bearer(t.Context(), made.Text)
				if err != nil && !fault.Has(err, fault.TokenRefused) {
					t.Error(err)
				}
				if first {
					begun <- struct{}{}
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	if err := b.Revoke(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if _, err := b.Bearer(t.Context(), made.Text); !fault.Has(err, fault.TokenRefused) {
			t.Fatalf("after Revoke: %v", err)
		}
	}
	stop()
	all.Wait()
}

func TestRevoke_when_repeated_or_unknown(t *testing.T) {
	b, c := book(t)
	b.make(t, "ci", time.Time{})
	for range 2 {
		if err := b.Revoke(t.Context(), "ci"); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Hour)
	}
	all, err := b.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].Revoked.Equal(newClock().at) {
		t.Errorf("%v, %v", all, err)
	}
	if err := b.Revoke(t.Context(), "nobody"); !fault.Has(err, fault.TokenUnknown) {
		t.Error(err)
	}
}

// A Revoke that fails may have been stored: nobody is let in by what was known before.
func TestRevoke_when_cut_off(t *testing.T) {
	b, _ := book(t)
	made := b.make(t, "ci", time.Time{})
	if _, err := b.Bearer(t.Context(), made.Text); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Revoke(ctx, "ci"); !fault.Has(err, fault.StateBroken) {
		t.Fatal(err)
	}
	if b.known.Load() != nil {
		t.Error("what was known before is still believed")
	}
}

func TestNew_when_there_are_tokens(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "server.db"), newClock()
	var texts []string
	for i := range 3 {
		db := database(t, path)
		b, err := New(db, c.now)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, b.make(t, fmt.Sprint("t", i), c.now().Add(time.Hour)).Text)
		for k, text := range texts {
			if got, err := b.Bearer(t.Context(), text); err != nil || got.Name != fmt.Sprint("t", k) {
				t.Errorf("start %d, token %d: %v, %v", i, k, got, err)
			}
		}
		db.Close()
	}
}

// What an earlier version stored is read; a text that was given out counts for ever.
func TestNew_when_written_by_version_1(t *testing.T) {
	written, err := os.ReadFile("testdata/v1.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := database(t, filepath.Join(t.TempDir(), "server.db"))
	if _, err := db.Exec(string(written)); err != nil {
		t.Fatal(err)
	}
	b, err := New(db, newClock().now)
	if err != nil {
		t.Fatal(err)
	}
	ci, err := b.Bearer(t.Context(), "gdw_mKj13rWajrqP61iEWInIgtkAjpecGynZqpW5q3xAwIN1Uu5CJ")
	if err != nil || ci.Name != "ci" || ci.Role != api.Operate || ci.CreatedBy != "ana" || ci.Created.UnixMilli() != 1795269920123 {
		t.Errorf("%+v, %v", ci, err)
	}
	if page, err := b.Bearer(t.Context(), "gdw_puRpccS3dO3EnDhwuxPKWPcPGpFJvdsr9x3soKjffS34krxlq"); err != nil || page.Role != api.Read || page.Expires.Unix() != 1795356320 {
		t.Errorf("%+v, %v", page, err)
	}
	if _, err := b.Bearer(t.Context(), "gdw_Ontjz4d249OjYIC2gO67BfyGZ94SSXPIdCO2s5vAIXb16cBQp"); !fault.Has(err, fault.TokenRefused) {
		t.Error(err)
	}
	all, err := b.List(t.Context())
	if err != nil || len(all) != 3 || all[1].Name != "old" || all[1].Revoked.Unix() != 1795270320 || all[1].Used.Unix() != 1795270020 {
		t.Errorf("%+v, %v", all, err)
	}
}

func BenchmarkBearer(b *testing.B) {
	book, c := book(b)
	made := book.make(b, "ci", c.now().Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Bearer(b.Context(), made.Text); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNew_without_a_clock(t *testing.T) {
	b, err := New(database(t, filepath.Join(t.TempDir(), "server.db")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if made := b.make(t, "ana", time.Time{}); time.Since(made.Token.Created).Abs() > time.Minute {
		t.Errorf("created at %v", made.Token.Created)
	}
}
