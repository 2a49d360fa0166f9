// Command quickstart shows godwit at work: it starts a real MariaDB, loads a
// shop, carries it to CSV files while a writer changes it, goes on to the end of
// the log, and has DuckDB prove that files and source are equal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"godwit/test/servers/mariadb"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	q := quickstart{began: time.Now(), password: "Regenpfeifer-5082"}
	flag.StringVar(&q.godwit, "godwit", "bin/godwit", "the binary to show")
	flag.StringVar(&q.dir, "dir", "bin/quickstart", "folder for the job file, its state and the CSV files; emptied first")
	flag.Uint64Var(&q.seed, "seed", uint64(q.began.UnixNano()), "what the writer's changes are drawn from")
	flag.Parse()
	if err := q.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

type quickstart struct {
	godwit, dir string
	seed        uint64
	password    string
	began       time.Time
	server      *mariadb.Server
}

// say prints one line of progress.
func say(what, format string, args ...any) {
	fmt.Printf("  %-11s%s\n", what, fmt.Sprintf(format, args...))
}

func (q *quickstart) run(ctx context.Context) (err error) {
	fmt.Println("godwit quickstart: a shop in MariaDB, to CSV files, and proven equal")
	fmt.Println()
	if err := q.prepare(); err != nil {
		return err
	}
	begin := time.Now()
	if q.server, err = mariadb.Launch(); err != nil {
		return err
	}
	defer func() {
		closed := q.server.Close()
		say("stopped", "the server; everything took %s", took(q.began))
		err = errors.Join(err, closed)
	}()
	say("server", "MariaDB %s on %s, ready after %s", q.server.Version, q.server.Addr(), took(begin))
	if err := q.load(); err != nil {
		return err
	}
	if err := q.writeJob(); err != nil {
		return err
	}
	if err := q.carry(ctx); err != nil {
		return err
	}
	if err := q.compare(ctx); err != nil {
		return err
	}
	q.whereToLook()
	return nil
}

func (q *quickstart) prepare() error {
	for _, p := range []*string{&q.godwit, &q.dir} {
		absolute, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = absolute
	}
	if _, err := os.Stat(q.godwit); err != nil {
		return fmt.Errorf("no binary to show (run make build): %w", err)
	}
	if err := os.RemoveAll(q.dir); err != nil {
		return err
	}
	return os.MkdirAll(q.dir, 0o755)
}

// load makes the shop and the account of examples/.
func (q *quickstart) load() error {
	begin := time.Now()
	shop, err := os.ReadFile("examples/shop.sql")
	if err != nil {
		return err
	}
	user, err := os.ReadFile("examples/shop-user.sql")
	if err != nil {
		return err
	}
	account, err := replaceOnce(string(user), "choose-your-own", q.password)
	if err != nil {
		return err
	}
	if err := q.server.Run(string(shop) + account); err != nil {
		return err
	}
	tables, err := q.tables()
	if err != nil {
		return err
	}
	say("shop", "%d tables, loaded in %s (examples/shop.sql)", len(tables), took(begin))
	return nil
}

// writeJob writes the job file of examples/ with this server and folder.
func (q *quickstart) writeJob() error {
	text, err := os.ReadFile("examples/shop.yaml")
	if err != nil {
		return err
	}
	job, err := replaceOnce(string(text), "127.0.0.1:3306", q.server.Addr())
	if err != nil {
		return err
	}
	job, err = replaceOnce(job, "file:///data/lake", "file://"+q.lake())
	if err != nil {
		return err
	}
	return os.WriteFile(q.job(), []byte(job), 0o644)
}

func (q *quickstart) lake() string  { return filepath.Join(q.dir, "lake") }
func (q *quickstart) job() string   { return filepath.Join(q.dir, "shop.yaml") }
func (q *quickstart) state() string { return filepath.Join(q.dir, "state") }

// replaceOnce fails where examples and this program no longer agree.
func replaceOnce(text, old, with string) (string, error) {
	if strings.Count(text, old) != 1 {
		return "", fmt.Errorf("%q occurs %d times in the example, not once", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, with, 1), nil
}

// carry runs the job under a writer, and once more when the writer has stopped.
func (q *quickstart) carry(ctx context.Context) error {
	w, err := startWriter(ctx, q.server, q.seed)
	if err != nil {
		return err
	}
	say("writer", "changes the shop meanwhile, drawn from seed %d", q.seed)
	first := q.call(ctx)
	changes, err := w.stop()
	if err := errors.Join(first, err); err != nil {
		return err
	}
	say("writer", "stopped after %d transactions; the same command goes on to the new end of the log", changes)
	return q.call(ctx)
}

// call runs the one command, as a user would.
func (q *quickstart) call(ctx context.Context) error {
	args := []string{"run", "--state", q.state(), q.job()}
	fmt.Printf("\n$ godwit %s\n", strings.Join(relative(args), " "))
	begin := time.Now()
	cmd := exec.CommandContext(ctx, q.godwit, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = append(os.Environ(), "SHOP_PASSWORD="+q.password)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("godwit run: %w", err)
	}
	fmt.Println()
	say("godwit", "done in %s", took(begin))
	return nil
}

func (q *quickstart) whereToLook() {
	fmt.Println()
	r := relative([]string{q.lake(), q.job()})
	say("look at", "%s   the files: one folder per table, and _godwit/ with what was committed", r[0])
	say("", "%s   the job; examples/shop.yaml is the same, to paste", r[1])
	say("", "docs/tutorial.md   the same by hand; docs/reading-a-changelog.md   the SQL used here")
	fmt.Println()
}

// relative shortens paths below the present folder.
func relative(paths []string) []string {
	here, err := os.Getwd()
	if err != nil {
		return paths
	}
	short := make([]string, len(paths))
	for i, p := range paths {
		short[i] = strings.TrimPrefix(p, here+"/")
	}
	return short
}

func took(since time.Time) string {
	return time.Since(since).Round(100 * time.Millisecond).String()
}
