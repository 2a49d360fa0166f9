package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"godwit/test/servers/mariadb"
)

// tablesOfAJob is how many tables each job of a server follows, rowsOfATable how many
// rows each of them has.
const (
	tablesOfAJob = 10
	rowsOfATable = 200
)

// fleet is a server of many jobs that all follow one database into folders of their own.
type fleet struct {
	*bench
	home   string
	cmd    *exec.Cmd
	ended  chan error
	said   bytes.Buffer // valid after ended
	url    string
	tokens []string // the first is the server's own
	client *http.Client
}

// quiet is what a server took in a minute without changes.
type quiet struct {
	cpu, source float64 // of one core
	rss         int64
}

// revival is how a server came back after kill -9.
type revival struct{ answers, whole time.Duration }

// fleetFigures is all that is measured of a server, one of each a round.
type fleetFigures struct {
	submitted time.Duration // until all jobs had begun to follow
	peak      int64         // the greatest resident size of the server until then
	rounds    []fleetRound
}

type fleetRound struct {
	quiet   quiet
	load    loadFigures
	revival revival
	peak    int64 // the greatest resident size of the server since it was started
}

// serve measures a server of many jobs.
func (b *bench) serve(ctx context.Context) (err error) {
	if b.server, err = mariadb.Launch("--max-connections=2000", "--innodb-buffer-pool-size=64M"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()
	if err := b.server.Run(manyTables()); err != nil {
		return err
	}
	f := &fleet{bench: b, home: filepath.Join(b.dir, "fleet"), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
	if err := os.MkdirAll(f.home, 0o755); err != nil {
		return err
	}
	defer f.kill()
	if _, err := f.start(ctx); err != nil {
		return err
	}
	figures, err := f.measureAll(ctx)
	if err != nil {
		return err
	}
	return b.publish(partServe, b.servePart(figures), b.only == "" || b.only == partServe)
}

func manyTables() string {
	var sql strings.Builder
	sql.WriteString("CREATE DATABASE bench; ")
	for i := range tablesOfAJob {
		fmt.Fprintf(&sql, "CREATE TABLE bench.t%d (id INT PRIMARY KEY, v VARCHAR(60)); INSERT INTO bench.t%[1]d SELECT seq, CONCAT('row ', seq) FROM seq_1_to_%d; ", i, rowsOfATable)
	}
	return strings.ReplaceAll(sql.String(), "FROM seq_", "FROM bench.seq_")
}

// measureAll submits the jobs, then measures round after round.
func (f *fleet) measureAll(ctx context.Context) (out fleetFigures, err error) {
	began := time.Now()
	for i := range f.jobs {
		if err := f.submit(ctx, fmt.Sprintf("job-%03d", i)); err != nil {
			return out, err
		}
	}
	if err := f.awaitAll(ctx); err != nil {
		return out, err
	}
	out.submitted, out.peak = time.Since(began), f.highest()
	fmt.Printf("serve: %d jobs follow after %.1f s; RSS %d MiB, at most %d\n", f.jobs, out.submitted.Seconds(), f.resident()>>20, out.peak>>20)
	for n := range f.rounds {
		r, err := f.round(ctx)
		if err != nil {
			return out, err
		}
		out.rounds = append(out.rounds, r)
		fmt.Printf("serve, round %d: CPU %4.1f %% of a core (source %4.1f %%), RSS %d MiB, at most %d; %d requests, p50 %.2f ms, p99 %.2f ms, %d failed; after kill -9 it answered in %.2f s, all jobs ran in %.1f s\n",
			n+1, 100*r.quiet.cpu, 100*r.quiet.source, r.quiet.rss>>20, r.peak>>20, r.load.all.count(), ms(r.load.all.at(0.5)), ms(r.load.all.at(0.99)), r.load.failed,
			r.revival.answers.Seconds(), r.revival.whole.Seconds())
	}
	return out, nil
}

// round is one measurement of each kind.
func (f *fleet) round(ctx context.Context) (r fleetRound, err error) {
	if r.quiet, err = f.rest(ctx, f.idle); err != nil {
		return r, err
	}
	if r.load, err = f.press(ctx); err != nil {
		return r, err
	}
	r.peak = f.highest()
	f.kill()
	began := time.Now()
	if r.revival.answers, err = f.start(ctx); err != nil {
		return r, err
	}
	if err := f.awaitAll(ctx); err != nil {
		return r, err
	}
	r.revival.whole = time.Since(began)
	return r, nil
}

// rest measures while nothing happens.
func (f *fleet) rest(ctx context.Context, long time.Duration) (q quiet, err error) {
	pid, source := f.cmd.Process.Pid, f.server.Pid()
	var before, after [2]time.Duration
	read := func(into *[2]time.Duration) (err error) {
		if into[0], err = cpuOf(pid); err == nil {
			into[1], err = cpuOf(source)
		}
		return err
	}
	if err := read(&before); err != nil {
		return q, err
	}
	began := time.Now()
	select {
	case <-time.After(long):
	case <-ctx.Done():
		return q, ctx.Err()
	}
	if err := read(&after); err != nil {
		return q, err
	}
	took := time.Since(began).Seconds()
	return quiet{(after[0] - before[0]).Seconds() / took, (after[1] - before[1]).Seconds() / took, f.resident()}, nil
}

// start starts the server and returns how long it took to answer.
func (f *fleet) start(ctx context.Context) (time.Duration, error) {
	_ = os.Remove(filepath.Join(f.home, "serve.json")) // of the one before
	f.cmd = exec.Command(f.godwit, "serve", "--listen", "127.0.0.1:0", "--state", f.home, "--allow-env", "BENCH_PASSWORD", "--data", f.dir)
	f.cmd.Env = append(os.Environ(), "BENCH_PASSWORD="+f.server.Password)
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	f.said.Reset()
	f.cmd.Stdout, f.cmd.Stderr = &f.said, &f.said
	began := time.Now()
	if err := f.cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	f.ended = ended
	go func() { ended <- f.cmd.Wait() }()
	for {
		if f.answers() {
			return time.Since(began), f.takeTokens(ctx)
		}
		select {
		case err := <-ended:
			ended <- err
			return 0, fmt.Errorf("godwit serve ended: %w\n%s", err, tail(f.said.Bytes()))
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// answers reports whether the server answers, and notes where and to whom.
func (f *fleet) answers() bool {
	var word struct{ URL, Token string }
	b, err := os.ReadFile(filepath.Join(f.home, "serve.json"))
	if err != nil || json.Unmarshal(b, &word) != nil {
		return false
	}
	resp, err := f.client.Get(word.URL + "/healthz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	f.url = word.URL
	if len(f.tokens) == 0 {
		f.tokens = []string{word.Token}
	}
	return resp.StatusCode == http.StatusOK
}

// takeTokens makes the tokens that requests come with: each may send only so many a
// second.
func (f *fleet) takeTokens(ctx context.Context) error {
	for len(f.tokens) < loadTokens {
		var made struct{ Text string }
		body := fmt.Sprintf(`{"name": "load-%d", "role": "operate"}`, len(f.tokens))
		if err := f.ask(ctx, f.tokens[0], http.MethodPost, "/api/v1/tokens", body, &made); err != nil {
			return err
		}
		f.tokens = append(f.tokens, made.Text)
	}
	return nil
}

// kill is kill -9, and waits for the end.
func (f *fleet) kill() {
	if f.cmd == nil {
		return
	}
	_ = f.cmd.Process.Kill() // it may have ended
	if err := <-f.ended; err == nil {
		fmt.Println("serve: the server had ended by itself")
	}
	f.cmd = nil
}

func (f *fleet) submit(ctx context.Context, name string) error {
	file := fmt.Sprintf("name: %s\n%stables: [\"bench.t*\"]\nmode: snapshot_and_changes\nsinks:\n  - name: lake\n    files: {url: \"file://%s\", format: csv}\n",
		name, f.sourceText(), filepath.Join(f.dir, "lakes", name))
	body, err := json.Marshal(map[string]string{"file": file})
	if err != nil {
		return err
	}
	return f.ask(ctx, f.tokens[0], http.MethodPost, "/api/v1/jobs", string(body), nil)
}

// awaitAll waits until all jobs follow the log.
func (f *fleet) awaitAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		var page struct {
			Items []struct {
				Standing struct{ Status string }
				Progress *struct {
					Phase string
					Sinks []struct{ Lag struct{ State string } }
				}
			}
		}
		if err := f.ask(ctx, f.tokens[0], http.MethodGet, "/api/v1/jobs?limit=1000", "", &page); err != nil {
			return err
		}
		follow := 0
		for _, j := range page.Items {
			if p := j.Progress; j.Standing.Status == "running" && p != nil && p.Phase == "stream" && len(p.Sinks) > 0 && p.Sinks[0].Lag.State == "caught_up" {
				follow++
			}
		}
		if follow == f.jobs {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d jobs follow the log: %w", follow, f.jobs, ctx.Err())
		}
	}
}

// ask sends a request and reads its answer into out, if there is one.
func (f *fleet) ask(ctx context.Context, token, method, path, body string, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, tail(text))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

func (f *fleet) resident() int64 { return statusBytes(f.cmd.Process.Pid, "VmRSS") }
func (f *fleet) highest() int64  { return statusBytes(f.cmd.Process.Pid, "VmHWM") }

// statusBytes is a size that the kernel tells of a process; 0: it has ended.
func statusBytes(pid int, field string) int64 {
	f := strings.Fields(firstField(fmt.Sprintf("/proc/%d/status", pid), field))
	kib, _ := strconv.ParseInt(f[0], 10, 64) // the kernel's own text
	return kib << 10
}
