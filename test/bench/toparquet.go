package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"godwit/test/judge"
	"godwit/test/servers/apt"
)

const (
	connectorxPackage = "connectorx==0.4.6"
	pyarrowPackage    = "pyarrow==21.0.0"
)

// connectorxScript reads a table into memory and writes it as one Parquet file.
const connectorxScript = `import sys, connectorx, pyarrow.parquet
table = connectorx.read_sql(sys.argv[1], "SELECT * FROM lineitem", return_type="arrow", protocol="text")
pyarrow.parquet.write_table(table, sys.argv[2], compression="zstd")
`

// connectorx is a folder with ConnectorX and pyarrow.
func connectorx(ctx context.Context) (string, error) {
	dir := filepath.Join(apt.Cache(), "connectorx-0.4.6")
	return dir, apt.Once(dir, func(fresh string) error {
		cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--disable-pip-version-check",
			"--root-user-action=ignore", "--target", fresh, connectorxPackage, pyarrowPackage)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pip install %s: %w\n%s", connectorxPackage, err, out)
		}
		return nil
	})
}

// parquet is a whole table to Parquet.
func (b *bench) parquet(ctx context.Context) (workload, error) {
	w, err := b.lineitem(ctx)
	if err != nil {
		return w, err
	}
	same := b.sameLineitem
	w.name, w.title = parquetName, "A table to Parquet"
	w.about = fmt.Sprintf("TPC-H lineitem, %d rows of 16 columns, all in the server's buffer pool, to Parquet packed with zstd.", w.count)
	w.contestants = []contestant{
		{
			name: godwitLabel, setting: "`format: parquet`, `layout: append`; defaults; commits, checks and fsyncs as always",
			command: func(ctx context.Context, out string) (call, error) {
				return b.jobTo(ctx, out, "name: bench\n"+b.sourceText()+"tables: [bench.lineitem]\nmode: snapshot\n",
					"files: {url: \"file://"+out+"/lake\", format: parquet, layout: append}")
			},
			check: func(ctx context.Context, out string, _ []byte) error {
				return same(ctx, parquetFiles(filepath.Join(out, "lake/bench/lineitem/**/*.parquet")))
			},
		},
		{
			name: "ConnectorX", rival: true, setting: "0.4.6, text protocol, one connection, to Arrow; then pyarrow to one file",
			command: b.connectorxCall,
			check: func(ctx context.Context, out string, _ []byte) error {
				return same(ctx, parquetFiles(filepath.Join(out, "lineitem.parquet")))
			},
		},
		{
			name: "DuckDB", rival: true, setting: "`COPY (FROM mysql table) TO`; as many threads as processors",
			command: func(ctx context.Context, out string) (call, error) {
				return b.duckTo(ctx, filepath.Join(out, "lineitem.parquet"), "(FORMAT parquet, COMPRESSION zstd)")
			},
			check: func(ctx context.Context, out string, _ []byte) error {
				return same(ctx, parquetFiles(filepath.Join(out, "lineitem.parquet")))
			},
		},
	}
	return w, nil
}

func (b *bench) connectorxCall(ctx context.Context, out string) (call, error) {
	dir, err := connectorx(ctx)
	if err != nil {
		return call{}, err
	}
	script := filepath.Join(b.dir, "toparquet.py")
	if err := os.WriteFile(script, []byte(connectorxScript), 0o644); err != nil {
		return call{}, err
	}
	url := fmt.Sprintf("mysql://%s:%s@127.0.0.1:%d/bench", b.server.User, b.server.Password, b.server.Port)
	cmd := exec.CommandContext(ctx, "python3", script, url, filepath.Join(out, "lineitem.parquet"))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+dir)
	return call{cmd}, nil
}

func parquetFiles(glob string) string { return "read_parquet(" + judge.Literal(glob) + ")" }
