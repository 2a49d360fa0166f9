package judge_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"godwit/test/judge"
)

func TestQuery_when_values_are_hard(t *testing.T) {
	d := judge.DuckDB(t)
	got := d.Query(t, `SELECT 1; CREATE TABLE t AS SELECT 'NULL' AS a, NULL AS b, '' AS c, chr(0) || '"\' AS d, 'é😀' AS e, 18446744073709551615::UBIGINT AS f, [1] AS g; SELECT * FROM t`)
	want := [][]string{{"NULL", judge.Null, "", "\x00\"\\", "é😀", "18446744073709551615", "[1]"}}
	if len(got) != 1 || !slices.Equal(got[0], want[0]) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if got := d.Query(t, "SELECT 1; SELECT 2 WHERE false"); len(got) != 0 {
		t.Fatalf("an empty last result gave %q", got)
	}
}

func TestRows_when_a_statement_fails(t *testing.T) {
	d := judge.DuckDB(t)
	for _, sql := range []string{"SELECT nonsense", "SELECT 1; SELECT error('canary'); SELECT 2", "SELEC 1", "SELECT 'a"} {
		if rows, err := d.Rows(context.Background(), sql); err == nil {
			t.Errorf("%s: no error, rows %q", sql, rows)
		}
	}
}

func TestInstall_when_the_cache_is_empty_and_many_ask(t *testing.T) {
	if os.Getenv("GODWIT_SOAK") != "1" {
		t.Skip("fetches 20 MB each time: GODWIT_SOAK=1")
	}
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			d, err := judge.InstallIn(context.Background(), cache)
			if err != nil {
				t.Error(err)
				return
			}
			if rows, err := d.Rows(context.Background(), "SELECT version()"); err != nil || rows[0][0] != "v1.5.5" {
				t.Error(rows, err)
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 2 {
		t.Fatalf("left in the cache: %v, %v", left, err)
	}
}

func TestInstall_when_pip_is_missing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := judge.InstallIn(context.Background(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "python3-pip") {
		t.Fatalf("the error does not name the package to install: %v", err)
	}
}
