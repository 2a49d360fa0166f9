package judge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const arrowVersion = "26.0.1"

// Arrow is pyarrow, the Python package of Apache Arrow: a reader of Parquet that
// shares no code with DuckDB's.
type Arrow struct{ folder string }

// PyArrow returns pyarrow, fetched by pip into the cache if it is not there yet. A
// test that cannot have it fails.
func PyArrow(t testing.TB) *Arrow {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	a, err := InstallArrow(ctx)
	if err != nil {
		t.Fatalf("pyarrow, which this test needs as its judge, cannot be had: %v", err)
	}
	return a
}

// InstallArrow is PyArrow for programs that are no tests.
func InstallArrow(ctx context.Context) (*Arrow, error) {
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	a := &Arrow{filepath.Join(cache, "pyarrow-"+arrowVersion)}
	return a, install(ctx, a.folder, "pyarrow=="+arrowVersion)
}

// install has pip put packages into a folder, whole or not at all.
func install(ctx context.Context, folder string, packages ...string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(folder+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // gives up the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	work, err := os.MkdirTemp(filepath.Dir(folder), "pip-fetch-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	fresh := filepath.Join(work, "fresh")
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-m", "pip", "install", "--quiet", "--no-deps",
		"--disable-pip-version-check", "--target", fresh}, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pip install %s (needs python3 and python3-pip): %w: %s", strings.Join(packages, " "), err, bytes.TrimSpace(out))
	}
	return os.Rename(fresh, folder)
}

// script prints the rows of a Parquet file, each as an array of texts and nulls.
// Moments are numbers, so that no calendar of Python's comes between.
const script = `
import json, sys
import pyarrow as pa, pyarrow.parquet as pq

def text(v):
    if v is None: return None
    if isinstance(v, bytes): return v.hex()
    if isinstance(v, float): return repr(v)
    return format(v, 'f') if type(v).__name__ == 'Decimal' else str(v)

def plain(c):
    c = c.combine_chunks()
    t = c.type
    if isinstance(t, pa.BaseExtensionType): return plain(pa.chunked_array([c.storage]))
    if pa.types.is_float32(t): return [None if v is None else json.dumps(v) if v != v or v in (float('inf'), float('-inf')) else repr(v) for v in c.cast(pa.float64()).to_pylist()]
    if pa.types.is_timestamp(t): c = c.cast(pa.timestamp('us', t.tz)).cast(pa.int64())
    elif pa.types.is_time(t): c = c.cast(pa.int64())
    elif pa.types.is_date32(t): c = c.cast(pa.int32())
    return [text(v) for v in c.to_pylist()]

f = pq.ParquetFile(sys.argv[1])
print(json.dumps([str(x.type) for x in f.schema_arrow]))
for n in range(f.num_row_groups):
    t = f.read_row_group(n)
    for r in zip(*[plain(t.column(i)) for i in range(t.num_columns)]):
        print(json.dumps(r))
`

// Parquet returns the Arrow types of a file's columns and its rows, values as text,
// bytes in hexadecimal, and Null for null. Dates are days, and times of day and
// moments microseconds, since 1970.
func (a *Arrow) Parquet(ctx context.Context, path string) (types []string, rows [][]string, err error) {
	cmd := exec.CommandContext(ctx, "python3", "-c", script, path)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+a.folder)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("pyarrow: %w\n%s", err, clip(complaint.String()))
	}
	return parquetRows(out)
}

// parquetRows reads what a script printed.
func parquetRows(out []byte) (types []string, rows [][]string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	if !lines.Scan() {
		return nil, nil, errors.Join(errors.New("the reader printed nothing"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &types); err != nil {
		return nil, nil, err
	}
	for lines.Scan() {
		var cells []*string
		if err := json.Unmarshal(lines.Bytes(), &cells); err != nil {
			return nil, nil, err
		}
		row := make([]string, len(cells))
		for i, c := range cells {
			if row[i] = Null; c != nil {
				row[i] = *c
			}
		}
		rows = append(rows, row)
	}
	return types, rows, lines.Err()
}
