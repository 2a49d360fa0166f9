package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"godwit/internal/api"
	"godwit/internal/watch"
)

const (
	freshFor  = time.Second      // how long what was read of the service is given out again
	scrapeFor = 5 * time.Second  // for the service to tell it
	healthFor = time.Second      // for the service to tell how many jobs there are
	lagFor    = 60 * time.Second // a lag that is older is not known any more
)

// meters measure the server itself, and read of the service what /metrics says of
// jobs when it is asked.
type meters struct {
	s        *Server
	serving  http.Handler
	descs    map[string]*prometheus.Desc
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	count atomic.Int64 // of jobs, when that was last known

	mu   sync.Mutex
	last reading
}

// reading is what was read of the service.
type reading struct {
	at     time.Time
	failed bool
	view   api.Overview
	jobs   []api.Job
	alarms []api.Alarm
}

func newMeters(s *Server) *meters {
	m := &meters{s: s, descs: map[string]*prometheus.Desc{}}
	for _, x := range metrics {
		switch x.name {
		case "godwit_http_requests_total":
			m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: x.name, Help: x.help}, x.labels)
		case "godwit_http_request_seconds":
			m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: x.name, Help: x.help, Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60}}, x.labels)
		default:
			m.descs[x.name] = prometheus.NewDesc(x.name, x.help, x.labels, nil)
		}
	}
	all := prometheus.NewRegistry()
	all.MustRegister(m, m.requests, m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.serving = promhttp.HandlerFor(all, promhttp.HandlerOpts{DisableCompression: true, ErrorHandling: promhttp.ContinueOnError})
	return m
}

func (m *meters) serve(w http.ResponseWriter, r *http.Request) {
	page := &whole{header: http.Header{}}
	m.serving.ServeHTTP(page, &http.Request{Method: http.MethodGet, Header: http.Header{}, URL: r.URL}) // the text form
	send(w, r, http.StatusOK, page.header.Get("Content-Type"), page.text)
}

// whole takes an answer to be sent later.
type whole struct {
	header http.Header
	text   []byte
}

func (p *whole) Header() http.Header { return p.header }
func (p *whole) WriteHeader(int)     {}
func (p *whole) Write(b []byte) (int, error) {
	p.text = append(p.text, b...)
	return len(b), nil
}

// request counts one that has ended.
func (m *meters) request(v *visit, took time.Duration) {
	route := v.route
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(v.out.code())).Inc()
	if route != "GET /api/v1/events" {
		m.seconds.WithLabelValues(route).Observe(took.Seconds())
	}
}

// jobs is how many jobs there are, as far as that is known now: whoever asks whether
// the server is up does not wait for a service that is slow.
func (m *meters) jobs(ctx context.Context) int {
	if !m.mu.TryLock() {
		return int(m.count.Load())
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, healthFor)
	defer cancel()
	read := m.read(ctx, false)
	if read.failed {
		return int(m.count.Load())
	}
	n := 0
	for _, count := range read.view.Counts {
		n += count
	}
	m.count.Store(int64(n))
	return n
}

// read asks the service, or gives out what it told less than a second ago. Who asks
// meanwhile waits for the same answer. The jobs themselves are read only when wanted.
func (m *meters) read(ctx context.Context, jobs bool) reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.service.Load() == nil {
		return reading{failed: true}
	}
	now := m.s.o.Now()
	if !m.last.at.IsZero() && now.Sub(m.last.at) < freshFor && (!jobs || m.last.jobs != nil || m.last.failed) {
		return m.last
	}
	ctx, cancel := context.WithTimeout(ctx, scrapeFor)
	defer cancel()
	m.last = m.ask(ctx, jobs)
	m.last.at = now
	return m.last
}

func (m *meters) ask(ctx context.Context, jobs bool) (read reading) {
	failed := func(err error) reading {
		if !m.s.stopping.Load() {
			m.s.o.Log.Warn("the numbers of jobs could not be read", "error", err)
		}
		return reading{failed: true}
	}
	var err error
	if read.view, err = m.s.svc().Overview(ctx); err != nil {
		return failed(err)
	}
	if !jobs {
		return read
	}
	if read.alarms, err = m.s.svc().Alarms(ctx, api.ListAlarmsParams{}); err != nil {
		return failed(err)
	}
	read.jobs = []api.Job{}
	q := api.ListJobsParams{Sort: api.ListJobsParamsSortName, Limit: maxPage}
	for {
		page, err := m.s.svc().List(ctx, q)
		if err != nil {
			return failed(err)
		}
		read.jobs = append(read.jobs, page.Items...)
		if page.Next == "" || page.Next == q.After {
			return read
		}
		q.After = page.Next
	}
}

// Describe is prometheus.Collector's.
func (m *meters) Describe(to chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m *meters) Collect(to chan<- prometheus.Metric) {
	out := sample{m: m, to: to}
	out.put("godwit_build_info", 1, m.s.o.Version)
	out.put("godwit_http_streams", float64(m.s.streams.total()))
	out.put("godwit_http_running", float64(len(m.s.slots)))
	read := m.read(context.Background(), true)
	if read.failed {
		out.put("godwit_scrape_failed", 1)
		return
	}
	out.put("godwit_scrape_failed", 0)
	out.overview(read.view)
	held := map[string]float64{}
	for _, a := range read.alarms {
		if a.Resolved.IsZero() {
			held[a.Kind]++
		}
	}
	for kind, n := range held {
		out.put("godwit_alarms", n, kind)
	}
	seen := map[string]bool{}
	for _, j := range read.jobs {
		if seen[j.Name] {
			continue // the pages moved while they were read
		}
		seen[j.Name] = true
		out.job(j)
		out.verification(j)
		out.progress(j)
	}
}

// sample sends the values of one answer.
type sample struct {
	m  *meters
	to chan<- prometheus.Metric
}

func (s sample) put(name string, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if strings.HasSuffix(name, "_total") {
		kind = prometheus.CounterValue
	}
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "?") // as Prometheus insists
	}
	s.to <- prometheus.MustNewConstMetric(s.m.descs[name], kind, value, labels...)
}

// known sends a value that may be unknown.
func (s sample) known(name string, value *float64, labels ...string) {
	if value != nil {
		s.put(name, *value, labels...)
	}
}

func (s sample) when(name string, at time.Time, labels ...string) {
	if !at.IsZero() {
		s.put(name, float64(at.UnixMilli())/1e3, labels...)
	}
}

func (s sample) overview(v api.Overview) {
	for _, status := range allStatuses {
		s.put("godwit_jobs", float64(v.Counts[string(status)]), string(status))
	}
	s.put("godwit_jobs_needing_you", float64(v.NeedsYou))
	s.put("godwit_jobs_taken_up", float64(v.TakenUp))
	s.put("godwit_memory_bytes", float64(v.Memory))
	if v.MemoryLimit > 0 {
		s.put("godwit_memory_limit_bytes", float64(v.MemoryLimit))
	}
	s.known("godwit_least_kept_seconds", v.LeastKeptS)
}

// allStatuses are given out with 0 jobs too, so that a rule for one always has a
// value. A test holds them against the document.
var allStatuses = []api.Status{
	api.StatusUnassigned, api.StatusPreparing, api.StatusRunning, api.StatusRetrying, api.StatusStopping, api.StatusPaused,
	api.StatusStopped, api.StatusFailed, api.StatusFinished,
}

func (s sample) job(j api.Job) {
	s.put("godwit_job_status", 1, j.Name, string(j.Standing.Status))
	s.put("godwit_job_desired", 1, j.Name, string(j.Wish.Desired))
	s.put("godwit_job_health", 1, j.Name, string(j.Health))
	s.when("godwit_job_since_timestamp_seconds", j.Standing.Since, j.Name)
	s.put("godwit_job_run", float64(j.Run), j.Name)
	s.put("godwit_job_version", float64(j.Version), j.Name)
	if e := j.Standing.Error; e != nil {
		s.put("godwit_job_error", 1, j.Name, e.Code, string(e.Class))
	}
	s.put("godwit_job_attempts", float64(j.Standing.Attempt), j.Name)
	s.put("godwit_job_fruitless_attempts", float64(j.Standing.Fruitless), j.Name)
	s.put("godwit_job_alarms", float64(j.Alarms), j.Name)
	for status, n := range map[string]int{
		"waiting": j.Tasks.Waiting, "running": j.Tasks.Running, "retrying": j.Tasks.Retrying,
		"paused": j.Tasks.Paused, "failed": j.Tasks.Failed, "finished": j.Tasks.Finished,
	} {
		s.put("godwit_job_tasks", float64(n), j.Name, status)
	}
}

func (s sample) progress(j api.Job) {
	p := j.Progress
	if p == nil {
		return
	}
	s.put("godwit_job_bytes_total", float64(p.Bytes), j.Name)
	s.put("godwit_job_memory_bytes", float64(p.Memory.Used), j.Name)
	s.known("godwit_log_kept_seconds", p.KeptFor, j.Name)
	s.known("godwit_log_reaches_back_seconds", p.Reach, j.Name)
	if p.Left != nil {
		s.put("godwit_job_left_seconds", p.Left.Seconds, j.Name)
	}
	if p.Files != nil {
		s.objects(j.Name, p.Files)
		return
	}
	rows := p.Rows.Done
	if p.Changes != nil {
		rows += p.Changes.Rows
		s.known("godwit_log_lost_in_seconds", p.Changes.LostIn, j.Name)
	}
	s.put("godwit_job_rows_total", float64(rows), j.Name)
	s.put("godwit_job_snapshot_rows_done", float64(p.Rows.Done), j.Name)
	if p.Rows.Kind != watch.None {
		s.put("godwit_job_snapshot_rows", float64(p.Rows.Total), j.Name)
	}
	s.put("godwit_job_tables_marked", float64(p.Tables.Marked), j.Name)
	for _, sink := range p.Sinks {
		s.sink(j.Name, sink, s.m.s.o.Now().Sub(p.Sampled) <= lagFor)
	}
}

func (s sample) sink(job string, k watch.Sink, fresh bool) {
	s.put("godwit_job_sink_rows_total", float64(k.Rows), job, k.Name)
	s.put("godwit_job_sink_commits_total", float64(k.Commits), job, k.Name)
	s.put("godwit_job_sink_dead_letters_total", float64(k.Buried), job, k.Name)
	if k.CommittedAt != nil {
		s.when("godwit_job_sink_committed_timestamp_seconds", *k.CommittedAt, job, k.Name)
	}
	s.put("godwit_job_sink_queue_bytes", float64(k.Queue), job, k.Name)
	s.put("godwit_job_sink_queue_limit_bytes", float64(k.QueueLimit), job, k.Name)
	if fresh && k.Lag.State != watch.Unknown {
		s.known("godwit_job_lag_seconds", k.Lag.Seconds, job, k.Name)
	}
}

func (s sample) objects(job string, f *watch.Objects) {
	for state, n := range map[string]int64{
		"copied": f.Copied.Objects, "same": f.Same.Objects, "skipped": f.Skipped.Objects,
		"deleted": f.Deleted.Objects, "failed": f.Failed.Objects, "gone": f.Gone.Objects,
	} {
		s.put("godwit_job_objects_total", float64(n), job, state)
	}
	s.put("godwit_job_objects_left", float64(f.Left.Objects), job)
}
