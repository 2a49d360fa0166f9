package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// fakeTables shows the same rows always.
type fakeTables struct {
	fake
	report watch.PreviewReport
	asked  *engine.Preview
}

var _ engine.Tables = fakeTables{}

func (f fakeTables) Preview(_ context.Context, _ *job.Spec, _ Options, p engine.Preview) (watch.PreviewReport, error) {
	*f.asked = p
	return f.report, nil
}

func (f fakeTables) DryRun(context.Context, *job.Spec, Options) (watch.DryRunReport, error) {
	return watch.DryRunReport{Elapsed: 2, Tables: []watch.DryTable{{Table: "shop.orders", Rows: 1000, Bytes: 64 << 10, Sinks: []watch.DrySink{
		{Sink: "lake", Table: "sales.orders", Rows: 700, Bytes: 32 << 10, Written: 8 << 10, Refused: 2, Reason: "x is no number"}, {Sink: "pond"}}}}}, nil
}

func TestRun_when_it_is_dry(t *testing.T) {
	r := newTry(t, "run", "job.yaml", "--dry-run")
	if code := Main(r.p, testRegistry, fakeTables{}); code != 0 {
		t.Fatal(r.err.String())
	}
	for _, want := range []string{"shop.orders  1,000 rows, 64 KiB\n", " → lake  sales.orders  700 rows, 32 KiB, 8 KiB to write, 2 rows refused: x is no number\n → pond  left out by rules\n", "Nothing was written.\n"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("%s\nlacks %s", r.out.String(), want)
		}
	}
	r = newTry(t, "run", "job.yaml", "--dry-run", "--json")
	Main(r.p, testRegistry, fakeTables{})
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
}

func text(s string) *string { return &s }

var previewed = watch.PreviewReport{More: 3, Tables: []watch.PreviewTable{{Table: "shop.orders", Columns: []string{"id bigint", "note text"},
	Rows: []watch.PreviewRow{{text("1"), text("a\tb")}, {text("2"), nil}, {text("3"), text("x")}},
	Sinks: []watch.PreviewSink{
		{Sink: "lake", Table: "sales.orders", Columns: []string{"order_id bigint"}, Rows: []watch.PreviewRow{{text("1")}, nil, nil}, Refused: map[int]string{2: "x is no number"}},
		{Sink: "pond", Columns: []string{}, Rows: []watch.PreviewRow{}},
	}}}}

func TestPreview(t *testing.T) {
	var asked engine.Preview
	e := fakeTables{report: previewed, asked: &asked}
	r := newTry(t, "preview", "job.yaml", "--rows", "3", "--table", "shop.*")
	if code := Main(r.p, testRegistry, e); code != 0 || asked.Rows != 3 || asked.Tables[0] != "shop.*" {
		t.Fatalf("%d, %+v, %s", code, asked, r.err.String())
	}
	want := "shop.orders\n   id bigint  note text\n1  1          a b\n2  2          null\n3  3          x\n" +
		" → lake  sales.orders\n   order_id bigint\n1  1\n2  left out\n3  refused: x is no number\n → pond  left out by rules\n\n\nand 3 tables more: --table PATTERN\n"
	if got := r.out.String(); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}
	r = newTry(t, "preview", "job.yaml", "--json")
	if code := Main(r.p, testRegistry, e); code != 0 {
		t.Fatal(r.err.String())
	}
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
	newTry(t, "preview", "job.yaml", "--rows", "0").want(2, "", "expected 1 to 1000")
	newTry(t, "preview", "job.yaml").want(2, "", "shows no rows")
}

func TestConnectors(t *testing.T) {
	newTry(t, "connectors").want(0, "mysql\tsource\tMariaDB.\nfiles\tsink\t\n", "")
	newTry(t, "connectors", "files").want(0, "url\ttext\trequired\t\n", "")
	newTry(t, "connectors", "files").want(0, "roll.every\tduration\t30s\t\n", "")
	newTry(t, "connectors", "mysq").want(2, "", `did you mean "mysql"?`)
	newTry(t, "connectors", "a", "b").want(2, "", "takes one name")
	r := newTry(t, "connectors", "--json")
	r.want(0, `"role":"sink"`, "")
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
}

func TestInit(t *testing.T) {
	args := []string{"init", "job.yaml", "--source", "mysql://god%20wit@db:3306", "--sink", "file:///data/lake?a=b&c", "--tables", "shop.*,!shop.tmp_*"}
	newTry(t, slices.Clone(args)...).want(2, "", "the file is there already")
	begin := func(args ...string) *try {
		r := newTry(t, slices.Clone(args)...)
		if err := os.Remove(r.path("job.yaml")); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := begin(args...)
	r.want(0, "wrote "+r.path("job.yaml")+"\nset GODWIT_SOURCE_PASSWORD in the environment", "")
	made, err := os.ReadFile(r.path("job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: job\n", `    address: "db:3306"`, `    user: "god wit"`, `    password: "${env:GODWIT_SOURCE_PASSWORD}"`, `      url: "file:///data/lake?a=b&c"`, `tables: ["shop.*", "!shop.tmp_*"]`, "mode: snapshot_and_changes"} {
		if !strings.Contains(string(made), want+"\n") && !strings.Contains(string(made), want) {
			t.Errorf("%s\nlacks %s", made, want)
		}
	}
	if i, err := os.Stat(r.path("job.yaml")); err != nil || i.Mode().Perm() != 0o600 {
		t.Error(i.Mode(), err)
	}
	r = begin(append(args, "--json", "--name", "shop")...)
	r.want(0, `"env":["GODWIT_SOURCE_PASSWORD"]`, "")
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
	for _, c := range []struct{ args, says string }{
		{"--sink file:///x --tables a.b", "godwit init needs --source: Where do rows come from"},
		{"--source mysql://u@h:1 --sink file:///x", "needs --tables"},
		{"--source oracle://u@h:1 --sink file:///x --tables a.b", "no source is called \"oracle\"\n  class  user (not retried)\n  hint   one of mysql://"},
		{"--source mysql://u:" + canary + "@h:1 --sink file:///x --tables a.b", "the URL has a password"},
		{"--source mysql://u@h --sink file:///x --tables a.b", "the URL has no port"},
		{"--source mysql://h:1 --sink file:///x --tables a.b", "source.mysql.user"},
		{"--source mysql://u@h:1 --sink file:///x --tables ab", "expected database.table"},
		{"--source mysql://u@h:1 --sink file:///x --tables a.b --mode all", "expected a known value, not"},
		{"--source db --sink file:///x --tables a.b", "--source: expected a URL"},
	} {
		r := begin(append([]string{"init", "job.yaml"}, strings.Fields(c.args)...)...)
		r.want(2, "", c.says)
		if _, err := os.Stat(r.path("job.yaml")); err == nil {
			t.Errorf("%s: a file was written", c.args)
		}
	}
}
