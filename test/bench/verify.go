package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// verified is a table compared with its copy in PostgreSQL, beside what it takes
// to read either side and look at nothing.
func (b *bench) verified(ctx context.Context) (workload, error) {
	w, err := b.lineitem(ctx)
	if err != nil {
		return w, err
	}
	if err := b.startPostgres(); err != nil {
		return w, err
	}
	v := &verifier{bench: b, dir: filepath.Join(b.dir, "verified")}
	if err := v.begin(ctx); err != nil {
		return w, err
	}
	w.name, w.title = verifyName, "A table compared with its copy in PostgreSQL"
	w.about = fmt.Sprintf("TPC-H lineitem, %d rows of 16 columns: every row of both sides is read, and their values compared. Beside it, each side's own client reads it all into nothing.", w.count)
	w.contestants = []contestant{
		{name: godwitLabel, setting: "`godwit verify`; defaults; both sides", command: v.verify, check: func(_ context.Context, _ string, said []byte) error {
			if want := fmt.Sprintf(`"equal":{"objects":%d`, w.count); !bytes.Contains(said, []byte(`"verdict":"equal"`)) || !bytes.Contains(said, []byte(want)) {
				return fmt.Errorf("expected %s: %s", want, tail(said))
			}
			return nil
		}},
		{name: "source", setting: "`mariadb --quick -B`, `SELECT *`; nothing is compared", command: v.readSource, check: unchecked},
		{name: "target", setting: "`psql`, `COPY TO STDOUT`; nothing is compared", command: v.readTarget, check: unchecked},
	}
	return w, nil
}

func unchecked(context.Context, string, []byte) error { return nil }

// verifier has a job that has copied the table.
type verifier struct {
	*bench
	dir string
}

func (v *verifier) begin(ctx context.Context) error {
	if err := errors.Join(os.MkdirAll(v.dir, 0o755), v.freshDatabase("template0")); err != nil {
		return err
	}
	c, err := v.jobTo(ctx, v.dir, "name: bench\n"+v.sourceText()+"tables: [bench.lineitem]\nuntil: head\n", v.pgSink())
	if err != nil {
		return err
	}
	if text, err := c.cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(text))
	}
	return v.target.In("run").Run("VACUUM ANALYZE bench.lineitem")
}

func (v *verifier) verify(ctx context.Context, _ string) (call, error) {
	cmd := exec.CommandContext(ctx, v.godwit, "verify", "--json", "--state", filepath.Join(v.dir, "state"), filepath.Join(v.dir, "job.yaml"))
	cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+v.server.Password, "BENCH_TARGET="+v.target.Password)
	return call{cmd}, nil
}

func (v *verifier) readSource(ctx context.Context, _ string) (call, error) {
	client, err := v.sourceClient()
	if err != nil {
		return call{}, err
	}
	return v.intoNothing(ctx, client), nil
}

func (v *verifier) readTarget(ctx context.Context, _ string) (call, error) {
	return v.intoNothing(ctx, v.target.In("run").Client("psql", "-q", "-c", "COPY bench.lineitem TO STDOUT")), nil
}

// intoNothing lets a client write to no one: what reads its output would cost.
func (v *verifier) intoNothing(ctx context.Context, client *exec.Cmd) call {
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+quoted(client.Args)+" >/dev/null")
	cmd.Env = append(append(os.Environ(), client.Env...), "MYSQL_PWD="+v.server.Password)
	return call{cmd}
}
