package server

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

func (x *site) metrics() string {
	x.t.Helper()
	a := x.ask("GET", "/metrics", "", as(reader))
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		x.t.Fatal(a.StatusCode, a.Header)
	}
	return string(a.body)
}

func TestMetrics_when_read(t *testing.T) {
	x := open(t)
	x.fake.add("broken").job.Standing = api.Standing{
		Status: api.StatusFailed, Since: anyTime, Attempt: 9, Fruitless: 8,
		Error: &api.Fault{Class: "lost", Code: "SOURCE_LOST", What: "gone"},
	}
	x.fake.jobs["media"].job.Progress = &watch.Progress{Job: "media", Bytes: 10, Files: &watch.Objects{Copied: watch.Ended{Objects: 4}, Left: watch.Ended{Objects: 6}}}
	x.fake.jobs["media"].job.Verification = &api.Verified{ID: 3, State: api.VerificationStateRunning, Since: anyTime, Verdict: api.VerdictDifferent, VerdictAt: anyTime, Differences: 12}
	x.fake.jobs["old"].job.Verification = &api.Verified{ID: 4, State: api.VerificationStateBrokenOff, Since: anyTime}
	text := x.metrics()
	for _, want := range []string{
		`godwit_job_differences{job="media"} 12`, `godwit_job_verified_timestamp_seconds{job="media"} 1.7956944e+09`, `godwit_job_verifying{job="media"} 1`, `godwit_job_verifying{job="old"} 0`,
		`godwit_build_info{version="v1"} 1`, `godwit_scrape_failed 0`,
		`godwit_jobs{status="running"} 3`, `godwit_jobs{status="failed"} 1`, `godwit_jobs{status="paused"} 0`, `godwit_jobs_needing_you 1`,
		`godwit_job_status{job="shop",status="running"} 1`, `godwit_job_error{class="lost",code="SOURCE_LOST",job="broken"} 1`,
		`godwit_job_fruitless_attempts{job="broken"} 8`, `godwit_job_rows_total{job="shop"} 107`, `godwit_job_bytes_total{job="shop"} 4096`,
		`godwit_job_lag_seconds{job="shop",sink="lake"} 1.5`, `godwit_job_sink_rows_total{job="shop",sink="pg"} 90`,
		`godwit_job_sink_committed_timestamp_seconds{job="shop",sink="lake"} 1.7956944e+09`,
		`godwit_log_kept_seconds{job="shop"} 259200`, `godwit_alarms{kind="task failed"} 1`, `godwit_memory_limit_bytes 2.68435456e+08`,
		`godwit_job_objects_total{job="media",state="copied"} 4`, `godwit_job_objects_left{job="media"} 6`, `process_open_fds`, `go_goroutines`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("lacks %s", want)
		}
	}
	for _, not := range []string{
		`godwit_job_lag_seconds{job="shop",sink="pg"}`,                                                                              // unknown is no 0
		`godwit_job_sink_committed_timestamp_seconds{job="shop",sink="pg"}`,                                                         // nor is never
		`godwit_job_differences{job="old"}`, `godwit_job_verified_timestamp_seconds{job="old"}`, `godwit_job_verifying{job="shop"}`, // nothing is known
		`godwit_job_rows_total{job="media"}`, `godwit_job_rows_total{job="old"}`, `godwit_least_kept_seconds `,
	} {
		if strings.Contains(text, "\n"+not) {
			t.Errorf("has %s", not)
		}
	}
	x.act("shop", "pause")
	x.ask("GET", "/api/v1/jobs/none", "", as(reader))
	later := x.metrics()
	for _, want := range []string{
		`godwit_http_requests_total{code="200",route="GET /metrics"} 1`, `godwit_http_requests_total{code="200",route="POST /api/v1/jobs/{name}/act"} 1`,
		`godwit_http_requests_total{code="404",route="GET /api/v1/jobs/{name}"} 1`, `godwit_http_request_seconds_count{route="GET /metrics"} 1`, `godwit_http_running 1`,
	} {
		if !strings.Contains(later, "\n"+want) {
			t.Errorf("lacks %s", want)
		}
	}
	all := text + later + scrapeOf(t, func(f *fake) {
		left := 3.0
		p := f.jobs["shop"].job.Progress
		p.Left, p.Reach, p.Changes.LostIn = &watch.Left{Seconds: 3}, &left, &left
		f.before = nil
	})
	for _, m := range metrics {
		if m.name != "godwit_least_kept_seconds" && !strings.Contains(all, "# TYPE "+m.name+" "+string(m.kind)+"\n") {
			t.Errorf("%s is in the table and never given out", m.name)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (godwit_\w+) `).FindAllStringSubmatch(all, -1) {
		if !slices.ContainsFunc(metrics, func(m metric) bool { return m.name == name[1] }) {
			t.Errorf("%s is given out and not in the table", name[1])
		}
	}
}

func scrapeOf(t *testing.T, change func(*fake)) string {
	x := open(t)
	change(x.fake)
	return x.metrics()
}

func TestMetrics_when_a_lag_is_old(t *testing.T) {
	old := scrapeOf(t, func(f *fake) { f.jobs["shop"].job.Progress.Sampled = time.Now().Add(-2 * lagFor) })
	if strings.Contains(old, "godwit_job_lag_seconds{") {
		t.Error("a lag of two minutes ago is given out as that of now")
	}
}

func TestMetrics_when_asked_often(t *testing.T) {
	now := anyTime
	x := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	x.metrics()
	before := x.fake.reached()
	for range 5 {
		x.metrics()
		x.health()
	}
	if got := x.fake.reached(); got != before {
		t.Errorf("the service was asked %d times more within a second", got-before)
	}
	now = now.Add(freshFor)
	x.metrics()
	if got := x.fake.reached(); got != before+2 { // List and Alarms
		t.Errorf("asked %d times, want 2", got-before)
	}
}

func TestMetrics_when_the_service_fails(t *testing.T) {
	x := open(t)
	x.fake.before = func(_ context.Context, call string) error {
		if call == "List" {
			return fault.New(fault.StateBroken, "planted").By(errors.New("x"))
		}
		return nil
	}
	x.health()
	text := x.metrics()
	if !strings.Contains(text, "\ngodwit_scrape_failed 1") || strings.Contains(text, "godwit_jobs{") || !strings.Contains(text, "godwit_http_requests_total") {
		t.Error(text)
	}
}

func TestMetrics_when_there_are_many_jobs(t *testing.T) {
	text := scrapeOf(t, func(f *fake) {
		for i := range 2500 {
			f.add("many-" + string(rune('a'+i%26)) + "-" + time.Duration(i).String())
		}
	})
	if n := strings.Count(text, "\ngodwit_job_status{"); n != 2503 {
		t.Errorf("%d jobs", n)
	}
}

// TestMetricsReference_when_written says that docs/metrics.md is fresh. With
// GODWIT_UPDATE=1 it writes the file.
func TestMetricsReference_when_written(t *testing.T) {
	const path = "../../docs/metrics.md"
	if os.Getenv("GODWIT_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(MetricsReference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != MetricsReference() {
		t.Errorf("%s is not fresh (%v): run this test with GODWIT_UPDATE=1", path, err)
	}
}

func TestMetrics_when_named(t *testing.T) {
	form := regexp.MustCompile(`^godwit_[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, m := range metrics {
		units := map[string]string{"seconds": "_seconds", "bytes": "_bytes", "seconds since 1970": "_timestamp_seconds"}
		suffix := units[m.unit]
		if m.kind == counter {
			suffix = strings.TrimSuffix(suffix, "_bytes") + "_total"
		}
		if seen[m.name] || !form.MatchString(m.name) || !strings.HasSuffix(m.name, suffix) || m.help == "" || m.kind != counter && strings.HasSuffix(m.name, "_total") {
			t.Errorf("%s: twice, or not named as Prometheus has it (%s)", m.name, suffix)
		}
		seen[m.name] = true
	}
}

// notShown are metrics that neither the dashboard nor an alert has, and why.
var notShown = map[string]string{
	"godwit_job_desired":                          "a word, not a curve; the page has it",
	"godwit_job_verifying":                        "the page and godwit job show have it",
	"godwit_job_run":                              "to tell runs apart in one's own queries",
	"godwit_job_version":                          "to mark edits in one's own queries",
	"godwit_job_attempts":                         "the fruitless ones matter",
	"godwit_job_alarms":                           "godwit_alarms has the kinds",
	"godwit_job_sink_committed_timestamp_seconds": "the lag says it better, and knows an idle source",
	"godwit_job_since_timestamp_seconds":          "the page has it",
	"godwit_jobs_taken_up":                        "of interest for a minute after a start; the page has it",
	"godwit_log_reaches_back_seconds":             "godwit_log_kept_seconds and godwit_least_kept_seconds say what matters",
}

var metricName = regexp.MustCompile(`\b(godwit|process|go|up)_?\w*`)

// namesIn returns the metrics that a query of Prometheus uses.
func namesIn(query string) []string {
	query = regexp.MustCompile(`\{[^}]*\}|"[^"]*"|\b(by|without)\s*\([^)]*\)|\[[^\]]*\]`).ReplaceAllString(query, " ")
	return metricName.FindAllString(query, -1)
}

// known reports whether a name is given out; a histogram gives out three.
func known(name string) (string, bool) {
	for _, m := range metrics {
		if name == m.name && m.kind != histogram {
			return m.name, true
		}
		if m.kind == histogram && slices.Contains([]string{"_bucket", "_sum", "_count"}, strings.TrimPrefix(name, m.name)) && strings.HasPrefix(name, m.name) {
			return m.name, true
		}
	}
	return name, slices.Contains([]string{"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"}, name)
}

type panel struct {
	Title   string
	Targets []struct{ Expr string }
	Panels  []panel
}

func dashboard(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/monitoring/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels     []panel
		Templating struct {
			List []struct{ Query, Definition string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, v := range d.Templating.List {
		if strings.HasPrefix(v.Query, "label_values(") {
			queries = append(queries, strings.SplitN(strings.TrimPrefix(v.Query, "label_values("), ",", 2)[0])
		}
	}
	for _, p := range d.Panels {
		if p.Title == "" {
			t.Error("a panel has no title")
		}
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	if len(d.Panels) < 8 || len(queries) < 10 {
		t.Fatalf("%d panels, %d queries: the test looks at the wrong thing", len(d.Panels), len(queries))
	}
	return queries
}

func alerts(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: the rule is not whole", r.Alert)
			}
			if r.For != "" {
				if _, err := time.ParseDuration(r.For); err != nil {
					t.Errorf("%s: %v", r.Alert, err)
				}
			}
			queries = append(queries, r.Expr)
		}
	}
	if len(queries) < 5 {
		t.Fatalf("%d rules: the test looks at the wrong thing", len(queries))
	}
	return queries
}

func TestMonitoring_when_held_against_the_metrics(t *testing.T) {
	used := map[string]bool{}
	for _, q := range append(dashboard(t), alerts(t)...) {
		names := namesIn(q)
		if len(names) == 0 {
			t.Errorf("%s uses no metric", q)
		}
		for _, name := range names {
			is, ok := known(name)
			if !ok {
				t.Errorf("%s: %s is not given out", q, name)
			}
			used[is] = true
		}
		if open, end := strings.Count(q, "("), strings.Count(q, ")"); open != end {
			t.Errorf("%s: %d brackets open, %d close", q, open, end)
		}
	}
	for _, m := range metrics {
		if _, left := notShown[m.name]; used[m.name] == left {
			t.Errorf("%s: used %v, left out on purpose %v", m.name, used[m.name], left)
		}
	}
	for name := range maps.Keys(notShown) {
		if _, ok := known(name); !ok {
			t.Errorf("%s is left out and not given out", name)
		}
	}
}

func TestKnown_when_names_are_wrong(t *testing.T) {
	for _, q := range []string{`rate(godwit_job_rows[1m])`, `godwit_http_request_seconds`, `godwit_http_request_seconds_total`, `go_goroutinez`} {
		for _, name := range namesIn(q) {
			if _, ok := known(name); ok {
				t.Errorf("%s passes", q)
			}
		}
	}
}

func TestStatuses_when_held_against_the_document(t *testing.T) {
	doc := document(t)
	var want []string
	for _, v := range doc.Components.Schemas["Status"].Value.Enum {
		want = append(want, v.(string))
	}
	var have []string
	for _, s := range allStatuses {
		have = append(have, string(s))
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("%v, want %v", have, want)
	}
}
