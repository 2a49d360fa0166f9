package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The release of Spark, and of the package by which Python speaks to it.
const (
	sparkVersion = "3.5.6"
	py4jVersion  = "0.10.9.7"
)

// PySpark is Apache Spark: the reader that is strictest about Parquet. It takes 350 MB and
// some ten seconds for a file, so it is for soaks.
type PySpark struct{ folder string }

// Spark returns Spark, fetched by pip into the cache if it is not there yet. A test that
// cannot have it fails.
func Spark(t testing.TB) *PySpark {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cache, err := cacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	s := &PySpark{filepath.Join(cache, "pyspark-"+sparkVersion)}
	if err := install(ctx, s.folder, "pyspark=="+sparkVersion, "py4j=="+py4jVersion); err != nil {
		t.Fatalf("Spark, which this test needs as its judge, cannot be had: %v", err)
	}
	return s
}

// sparkScript prints what script prints of a Parquet file, as Spark reads it. Its own
// files go into a folder.
const sparkScript = `
import decimal, json, sys
from pyspark.sql import SparkSession
from pyspark.sql.types import *

decimal.getcontext().prec = 80
decimal.getcontext().traps[decimal.Inexact] = True

spark = (SparkSession.builder.master('local[1]').appName('judge').config('spark.ui.enabled', 'false').config('spark.sql.session.timeZone', 'UTC')
    .config('spark.driver.bindAddress', '127.0.0.1').config('spark.driver.host', '127.0.0.1').config('spark.sql.parquet.datetimeRebaseModeInRead', 'CORRECTED')
    .config('spark.sql.warehouse.dir', sys.argv[2]).config('spark.local.dir', sys.argv[2]).getOrCreate())
df = spark.read.parquet(sys.argv[1])
fields = df.schema.fields

def plain(f):
    c = chr(96) + f.name.replace(chr(96), 2 * chr(96)) + chr(96)
    if isinstance(f.dataType, DateType): return f'unix_date({c})'
    if isinstance(f.dataType, (TimestampType, TimestampNTZType)): return f'unix_micros(CAST({c} AS TIMESTAMP))'
    if isinstance(f.dataType, BinaryType): return f'lower(hex({c}))'
    return c

def text(v, f):
    if v is None: return None
    if isinstance(v, float): return repr(v)
    if isinstance(f.dataType, DecimalType): return format(v.quantize(decimal.Decimal(1).scaleb(-f.dataType.scale)), 'f')
    return str(v)

print(json.dumps([f.dataType.simpleString() for f in fields]))
for r in df.selectExpr(*[plain(f) for f in fields]).collect():
    print(json.dumps([text(v, f) for v, f in zip(r, fields)]))
spark.stop()
`

// Parquet is Arrow.Parquet with Spark's types.
func (s *PySpark) Parquet(ctx context.Context, path string) (types []string, rows [][]string, err error) {
	own, err := os.MkdirTemp("", "godwit-spark-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(own)
	cmd := exec.CommandContext(ctx, "python3", "-c", sparkScript, path, own)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+s.folder, "SPARK_LOCAL_IP=127.0.0.1")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("spark: %w\n%s", err, clip(complaint.String()))
	}
	types, rows, err = parquetRows(out)
	return types, rows, errors.Join(err, ctx.Err())
}
