package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func pair(t *testing.T, objects int, size int64) (tree, string) {
	t.Helper()
	source, err := makeTree(t.TempDir(), objects, size)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source.dir)); err != nil {
		t.Fatal(err)
	}
	return source, dir
}

func TestCompare_when_one_thing_is_wrong(t *testing.T) {
	const objects, size, victim = 3, 600 << 10, "000/f00001.bin"
	edit := func(dir string, change func([]byte) []byte) error {
		text, err := os.ReadFile(filepath.Join(dir, victim))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, victim), change(text), 0o644)
	}
	flip := func(at int) func(string) error {
		return func(dir string) error {
			return edit(dir, func(b []byte) []byte { b[at] ^= 1; return b })
		}
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  difference
	}{
		"nothing":           {func(string) error { return nil }, difference{}},
		"first byte":        {flip(0), difference{changed: 1, first: victim}},
		"a byte in between": {flip(300 << 10), difference{changed: 1, first: victim}},
		"last byte":         {flip(size - 1), difference{changed: 1, first: victim}},
		"shorter":           {func(d string) error { return os.Truncate(filepath.Join(d, victim), size-1) }, difference{changed: 1, first: victim}},
		"empty":             {func(d string) error { return os.Truncate(filepath.Join(d, victim), 0) }, difference{changed: 1, first: victim}},
		"longer":            {func(d string) error { return edit(d, func(b []byte) []byte { return append(b, 0) }) }, difference{changed: 1, first: victim}},
		"missing":           {func(d string) error { return os.Remove(filepath.Join(d, victim)) }, difference{missing: 1, first: victim}},
		"extra":             {func(d string) error { return os.WriteFile(filepath.Join(d, "x"), nil, 0o644) }, difference{extra: 1, first: "x"}},
		"everything":        {func(d string) error { return os.RemoveAll(filepath.Join(d, "000")) }, difference{missing: objects, first: "000/f00000.bin"}},
		"an upload under way": {func(d string) error {
			return os.CopyFS(filepath.Join(d, ".sgwtmp"), os.DirFS(filepath.Join(d, "000")))
		}, difference{}},
	} {
		source, dir := pair(t, objects, size)
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		var got difference
		if err := compare(source.dir, dir); err != nil && !errors.As(err, &got) {
			t.Errorf("%s: %v", name, err)
		}
		if got != c.want {
			t.Errorf("%s: found %+v, want %+v", name, got, c.want)
		}
	}
}

func TestMakeTree_when_made_twice(t *testing.T) {
	one, err := makeTree(t.TempDir(), 2*perFolder, 16)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	two, err := makeTree(root, 2*perFolder, 16)
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(one.dir, two.dir); err != nil {
		t.Errorf("the same seed, other contents: %v", err)
	}
	seen := map[string]string{}
	err = eachFile(two.dir, func(path string) error {
		text, err := os.ReadFile(filepath.Join(two.dir, path))
		if old := seen[string(text)]; old != "" || len(text) != 16 {
			t.Errorf("%s has %d bytes, the same as %q", path, len(text), old)
		}
		seen[string(text)] = path
		return err
	})
	if err != nil || len(seen) != 2*perFolder {
		t.Errorf("%d files, %v", len(seen), err)
	}
	before, err := stamps(two.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makeTree(root, 2*perFolder, 16); err != nil {
		t.Fatal(err)
	}
	after, err := stamps(two.dir)
	if err != nil || rewritten(before, after) != 0 {
		t.Errorf("made again: %d files, %v", rewritten(before, after), err)
	}
}

func TestRewritten_when_the_bytes_are_the_same(t *testing.T) {
	_, dir := pair(t, 3, 16)
	before, err := stamps(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "000/f00002.bin")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path+".new", text, 0o644), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	after, err := stamps(dir)
	if err != nil || len(after) != 3 || rewritten(before, after) != 1 {
		t.Errorf("%d of %d, %v", rewritten(before, after), len(after), err)
	}
}

// shell is a contestant whose work is a script that finds its folder in $OUT.
func shell(name, script string, rival bool) contestant {
	return contestant{
		name: name, rival: rival,
		command: func(ctx context.Context, out string) (call, error) {
			cmd := exec.CommandContext(ctx, "sh", "-c", script)
			cmd.Env = append(os.Environ(), "OUT="+out)
			return call{cmd}, nil
		},
		check: func(_ context.Context, out string, _ []byte) error {
			if text, err := os.ReadFile(filepath.Join(out, "made")); err != nil || string(text) != "right\n" {
				return fmt.Errorf("%q, %w", text, err)
			}
			return nil
		},
	}
}

func TestMeasure_when_contestants_fail(t *testing.T) {
	b := bench{options: options{dir: t.TempDir(), rounds: 2}}
	const right = "echo right > $OUT/made"
	w := workload{
		name: "w", count: 1, bytes: 1, local: true, failed: map[string]string{}, servers: func() []int { return []int{os.Getpid()} }, limit: time.Minute,
		contestants: []contestant{
			shell("own", right, false), shell("good", right, true), shell("broken", "echo because >&2; exit 3", true), shell("wrong", "echo wrong > $OUT/made", true),
			shell("leftover", "test ! -e $OUT/made && "+right, true),
		},
	}
	if err := b.measure(t.Context(), &w); err != nil {
		t.Fatal(err)
	}
	var counts []int
	for _, label := range []string{"own", "own again", "good", "broken", "wrong", "leftover"} {
		counts = append(counts, len(w.samples[label]))
	}
	if d := cmp.Diff([]int{2, 2, 2, 0, 0, 2}, counts); d != "" {
		t.Error(d)
	}
	if !strings.Contains(w.failed["broken"], "because") || !strings.Contains(w.failed["wrong"], "the output is wrong") || len(w.failed) != 2 {
		t.Errorf("%q", w.failed)
	}
	w.contestants[0] = shell("own", "echo wrong > $OUT/made", false)
	if err := b.measure(t.Context(), &w); err == nil {
		t.Error("a wrong output of our own passed")
	}
}

func TestDispose_when_many_and_few(t *testing.T) {
	for _, many := range []bool{false, true} {
		root := t.TempDir()
		bucket, bin := filepath.Join(root, "bucket"), filepath.Join(root, trash)
		w := workload{many: many}
		for range 2 {
			if err := errors.Join(os.MkdirAll(filepath.Join(bucket, "000"), 0o755), os.WriteFile(filepath.Join(bucket, "000", "f"), nil, 0o644), w.disposeContents(bucket, bin)); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(bucket); err != nil || len(left) != 0 {
				t.Errorf("many %v: left %v, %v", many, left, err)
			}
		}
		kept, err := filepath.Glob(filepath.Join(bin, "*", "000", "f"))
		if want := map[bool]int{true: 2}[many]; err != nil || len(kept) != want {
			t.Errorf("many %v: %q kept, %v", many, kept, err)
		}
		if err := w.dispose(filepath.Join(root, "gone"), bin); err != nil {
			t.Error(err)
		}
	}
}

func TestTurn_when_repeated(t *testing.T) {
	b := bench{options: options{dir: t.TempDir()}}
	w := workload{bytes: 1, servers: func() []int { return []int{os.Getpid()} }}
	c := shell("own", "echo run >> $OUT/runs; echo right > $OUT/made", false)
	s, err := b.turn(t.Context(), &w, c, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "out", "runs"))
	if n := strings.Count(string(text), "run"); err != nil || n < 2 || s.wall > 200*time.Millisecond {
		t.Errorf("%d runs, %v each, %v", n, s.wall, err)
	}
}

func TestMean_when_runs_differ(t *testing.T) {
	got := mean([]sample{{wall: 2, ended: 1, cpu: 4, server: 6, rss: 9}, {wall: 4, ended: 3, cpu: 8, server: 0, rss: 5}})
	if got.wall != 3 || got.ended != 2 || got.cpu != 6 || got.server != 3 || got.rss != 9 {
		t.Errorf("%+v", got)
	}
}

// measured makes samples from seconds; memory is that many MiB, the time of the
// command alone half of it.
func measured(seconds ...float64) []sample {
	var all []sample
	for _, s := range seconds {
		d := time.Duration(s * float64(time.Second))
		all = append(all, sample{wall: d, ended: d / 2, cpu: d, server: d, rss: int64(s * (1 << 20))})
	}
	return all
}

func done(name string, samples map[string][]sample) workload {
	w := workload{name: name, title: "T", count: 10, bytes: 10 << 20, samples: samples, failed: map[string]string{}}
	for _, label := range []string{godwitLabel, "s5cmd", "juicefs", "juicefs-32", floor} {
		if len(samples[label]) > 0 {
			w.contestants = append(w.contestants, contestant{name: label, rival: label != godwitLabel})
		}
	}
	return w
}

func TestJudge_when_figures_say_so(t *testing.T) {
	own, again := godwitLabel, godwitLabel+" "+control
	find := func(name string, memory bool) goal {
		for _, g := range fileGoals() {
			if g.workload == name && strings.Contains(g.text, "memory") == memory {
				return g
			}
		}
		t.Fatalf("no goal for %s", name)
		return goal{}
	}
	for _, c := range []struct {
		workload string
		memory   bool
		samples  map[string][]sample
		want     string
		rival    string
	}{
		{"up-small", false, map[string][]sample{own: measured(2), again: measured(2), "s5cmd": measured(3), "juicefs": measured(9)}, "met", "s5cmd"},
		{"up-small", false, map[string][]sample{own: measured(2), again: measured(2.1), "s5cmd": measured(3), "juicefs": measured(9)}, "**not met**", "s5cmd"},
		{"up-small", false, map[string][]sample{own: measured(2, 9, 1), again: measured(1, 2, 9), "s5cmd": measured(1, 3, 9)}, "met", "s5cmd"},
		{"up-large", false, map[string][]sample{own: measured(10.5), again: measured(10), "s5cmd": measured(10)}, "met", "s5cmd"},
		{"up-large", false, map[string][]sample{own: measured(10.6), again: measured(10), "s5cmd": measured(10)}, "**not met**", "s5cmd"},
		{"up-large", true, map[string][]sample{own: measured(10.6), again: measured(10), "s5cmd": measured(10), floor: measured(1)}, "**not met**", "s5cmd"},
		{"up-large", true, map[string][]sample{own: measured(9), again: measured(9), "s5cmd": measured(10), floor: measured(1)}, "met", "s5cmd"},
		{"again-s3", false, map[string][]sample{own: measured(1.0), again: measured(0.9), "juicefs": measured(2), "juicefs-32": measured(1), "s5cmd": measured(0.1)}, "met", "juicefs-32"},
		{"again-s3", false, map[string][]sample{own: measured(1.05), again: measured(1.2), "juicefs": measured(1.1)}, "no difference seen: within the A/A band (1.14–1.14)", "juicefs"},
		{"again-s3", false, map[string][]sample{own: measured(1.15), again: measured(1.2), "juicefs": measured(1.1)}, "**not met**", "juicefs"},
		{"local-small", false, map[string][]sample{own: measured(3), again: measured(3), "juicefs": measured(1), floor: measured(2)}, "met", floor},
		{"local-small", false, map[string][]sample{own: measured(3.1), again: measured(3), "juicefs": measured(9), floor: measured(2)}, "**not met**", floor},
		{"up-small", false, map[string][]sample{"s5cmd": measured(3)}, "not judged: godwit did not run", ""},
		{"up-small", false, map[string][]sample{own: measured(3), again: measured(3)}, "not judged: nobody to compare with ran", ""},
		{"again-up", false, map[string][]sample{own: measured(3), again: measured(3), "s5cmd": measured(4)}, "not judged: nobody to compare with ran", ""},
	} {
		w := done(c.workload, c.samples)
		if got := find(c.workload, c.memory).judge(&w); got.word != c.want || got.rival != c.rival {
			t.Errorf("%s %v: %q against %q, want %q against %q", c.workload, c.samples, got.word, got.rival, c.want, c.rival)
		}
	}
}

func TestJudge_when_the_goal_is_a_figure(t *testing.T) {
	most := goal{workload: "up-large", of: seconds, against: itself, most: 2}
	for own, want := range map[float64]string{2: "met", 2.1: "**not met**"} {
		w := done("up-large", map[string][]sample{godwitLabel: measured(own), godwitLabel + " " + control: measured(1)})
		if got := most.judge(&w); got.word != want || got.other != 2 {
			t.Errorf("%v: %+v, want %s", own, got, want)
		}
	}
	alone := goal{workload: "up-large", of: seconds, against: pipeName, most: 1}
	w := done("up-large", map[string][]sample{godwitLabel: measured(2), godwitLabel + " " + control: measured(2), pipeName: measured(3)})
	if got := alone.judge(&w); got.word != "met" || got.rival != pipeName {
		t.Errorf("%+v", got)
	}
}

func TestGoals_when_named(t *testing.T) {
	for _, g := range tableGoals() {
		if !slices.Contains(tableNames(), g.workload) {
			t.Errorf("%s is no workload", g.workload)
		}
	}
	for _, g := range fileGoals() {
		if !(options{only: partFiles}).selects(g.workload) || !strings.Contains(strings.Join(fileNames(), " "), g.workload) {
			t.Errorf("%s is no workload", g.workload)
		}
	}
}

func TestFileTable_when_some_cannot(t *testing.T) {
	w := done("local-large", map[string][]sample{
		godwitLabel: measured(2, 4, 3), godwitLabel + " " + control: measured(4, 2, 3), "juicefs": measured(6), floor: measured(1),
	})
	w.local, w.failed = true, map[string]string{"s5cmd": "it cannot", "mc": "not here: no\nnet."}
	var p strings.Builder
	fileTable(&p, &w)
	want := `
### T

| run | s (least–most) | command alone, s | MiB/s | the fastest rival's time is | CPU s | RSS MiB |
|---|---|---|---|---|---|---|
| godwit | 3.00 (2.00–4.00) | 1.50 | 3 | 2.00× | 3.00 + 3.00 | 3 |
| godwit again | 3.00 (2.00–4.00) | 1.50 | 3 | 2.00× | 3.00 + 3.00 | 3 |
| juicefs | 6.00 (6.00–6.00) | 3.00 | 2 | 1.00× | 6.00 + 6.00 | 6 |
| cp -r | 1.00 (1.00–1.00) | 0.50 | 10 | 6.00× | 1.00 + 1.00 | 1 |

A/A: in a round the second turn of godwit took 0.50 to 2.00 times the first.

mc is not in the table: not here: no net.

s5cmd is not in the table: it cannot.
`
	if d := cmp.Diff(want, p.String()); d != "" {
		t.Error(d)
	}
}

func TestFileTable_when_a_rival_runs_alone(t *testing.T) {
	w := done("up-small", map[string][]sample{floor: measured(1)})
	var p strings.Builder
	fileTable(&p, &w)
	if got := p.String(); strings.Contains(got, "A/A") || strings.Contains(got, "NaN") || !strings.Contains(got, "| – |") {
		t.Error(got)
	}
}

func TestGoalTable_when_a_part_was_measured(t *testing.T) {
	var p strings.Builder
	goalTable(&p, fileGoals(), []workload{done("up-large", map[string][]sample{godwitLabel: measured(2), godwitLabel + " " + control: measured(2), "s5cmd": measured(3)})})
	for _, want := range []string{
		"| large uploads: within 1.05× of the fastest | 2.00 | s5cmd 3.00 | 0.67× | met |\n",
		"| small uploads: 1.5× as fast as the fastest | – | – | – | not measured |\n",
	} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("no %q in\n%s", want, p.String())
		}
	}
}

func TestMerge_when_parts_come_and_go(t *testing.T) {
	page := merge("", partFiles, "f1\n")
	page = merge(page, partTables, "t1\n")
	if d := cmp.Diff(intro+"\n<!-- begin tables -->\nt1\n<!-- end tables -->\n\n<!-- begin files -->\nf1\n<!-- end files -->\n", page); d != "" {
		t.Error(d)
	}
	page = merge(page, partFiles, "f2\n")
	if !strings.Contains(page, "t1\n") || !strings.Contains(page, "f2\n") || strings.Contains(page, "f1\n") {
		t.Error(page)
	}
	now, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if again := merge(string(now), partFiles, "new\n"); !strings.Contains(again, "## Table jobs") || !strings.Contains(again, "new\n") || !strings.HasPrefix(string(now), intro) {
		t.Errorf("the page in docs cannot be kept up:\n%s", again)
	}
}

func TestRivals_when_places_are_folders_or_buckets(t *testing.T) {
	programs := builds()
	labels := map[string]bool{}
	for _, r := range rivals() {
		if programs[r.program] == nil || r.setting == "" || labels[r.label] || strings.Contains(r.label, ",") {
			t.Errorf("%q: of program %q, set %q", r.label, r.program, r.setting)
		}
		labels[r.label] = true
	}
}

func TestSelects_when_parts_and_workloads_are_asked_for(t *testing.T) {
	for _, c := range []struct {
		only          string
		tables, files bool
	}{{"", true, true}, {partTables, true, false}, {partFiles, false, true}, {changesName, true, false}, {"up-small", false, true}, {"nonsense", false, false}} {
		o := options{only: c.only}
		if got := o.selects(lineitemName, changesName); got != c.tables {
			t.Errorf("%q: tables %v", c.only, got)
		}
		if got := o.selects(fileNames()...); got != c.files {
			t.Errorf("%q: files %v", c.only, got)
		}
	}
}

func TestKnown_when_names_are_wrong(t *testing.T) {
	good := options{only: "up-small", with: "godwit,juicefs-32," + floor, rounds: 1, objects: 1, large: 1, jobs: 1}
	if err := good.known(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(*options){
		func(o *options) { o.only = "upsmall" }, func(o *options) { o.with = "godwit, juicefs" }, func(o *options) { o.rounds = 0 }, func(o *options) { o.objects = 0 },
	} {
		bad := good
		spoil(&bad)
		if bad.known() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}
