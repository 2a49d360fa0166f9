package server

import (
	"fmt"
	"strings"
)

// kindOfMetric says how Prometheus reads a metric.
type kindOfMetric string

const (
	gauge     kindOfMetric = "gauge"
	counter   kindOfMetric = "counter"
	histogram kindOfMetric = "histogram"
)

// metric is one of the names that this server gives out. Names stay; docs/metrics.md
// is made from this table, and the dashboard and the alerts are held against it.
type metric struct {
	name   string
	kind   kindOfMetric
	unit   string // empty: a number
	labels []string
	help   string
}

var metrics = []metric{
	{"godwit_build_info", gauge, "", []string{"version"}, "1; the version that runs."},
	{"godwit_scrape_failed", gauge, "", nil, "1 when the numbers of jobs could not be read for this answer, and are absent."},

	{"godwit_jobs", gauge, "", []string{"status"}, "Jobs by status."},
	{"godwit_jobs_needing_you", gauge, "", nil, "Jobs that somebody must look at."},
	{"godwit_jobs_taken_up", gauge, "", nil, "Jobs taken up again since the server started."},
	{"godwit_job_status", gauge, "", []string{"job", "status"}, "1 for the status that the job has."},
	{"godwit_job_desired", gauge, "", []string{"job", "desired"}, "1 for what is wanted of the job."},
	{"godwit_job_health", gauge, "", []string{"job", "health"}, "1 for the health of the job: failed, alarm, retrying, changing, ok, idle."},
	{"godwit_job_since_timestamp_seconds", gauge, "seconds since 1970", []string{"job"}, "Since when the job has its status."},
	{"godwit_job_run", gauge, "", []string{"job"}, "The number of the job's run."},
	{"godwit_job_version", gauge, "", []string{"job"}, "The version of its job file."},
	{"godwit_job_error", gauge, "", []string{"job", "code", "class"}, "1 while the job has this error; docs/errors.md has the codes."},
	{"godwit_job_attempts", gauge, "", []string{"job"}, "The attempt that the job is at."},
	{"godwit_job_fruitless_attempts", gauge, "", []string{"job"}, "Failed attempts in a row that committed nothing."},
	{"godwit_job_tasks", gauge, "", []string{"job", "status"}, "Tasks of the job by status."},
	{"godwit_job_alarms", gauge, "", []string{"job"}, "Alarms of the job that hold."},
	{"godwit_alarms", gauge, "", []string{"kind"}, "Alarms that hold, by kind; those that are silenced too."},

	{"godwit_job_rows_total", counter, "rows", []string{"job"}, "Rows and changes read in this run of a table job. It begins again at 0 with a run."},
	{"godwit_job_bytes_total", counter, "bytes", []string{"job"}, "Payload read, or sent by a file job, in this run. It begins again at 0 with a run."},
	{"godwit_job_snapshot_rows", gauge, "rows", []string{"job"}, "Rows that the snapshot is estimated to have; absent when unknown."},
	{"godwit_job_snapshot_rows_done", gauge, "rows", []string{"job"}, "Rows of the snapshot that are read."},
	{"godwit_job_tables_marked", gauge, "tables", []string{"job"}, "Tables that need a resync."},
	{"godwit_job_left_seconds", gauge, "seconds", []string{"job"}, "Time to the end of the phase at this rate; absent when unknown."},
	{"godwit_job_objects_total", counter, "objects", []string{"job", "state"}, "Objects of this round of a file job by how they ended. It begins again at 0 with a round."},
	{"godwit_job_objects_left", gauge, "objects", []string{"job"}, "Objects of a file job that are not done; at least this many while listing goes on."},
	{"godwit_job_differences", gauge, "objects", []string{"job"}, "Objects that the last verification did not find equal; absent before the first that finished."},
	{"godwit_job_verified_timestamp_seconds", gauge, "seconds since 1970", []string{"job"}, "When the last verification that finished ended."},
	{"godwit_job_verifying", gauge, "", []string{"job"}, "1 while a verification of the job waits or runs."},
	{"godwit_job_lag_seconds", gauge, "seconds", []string{"job", "sink"}, "How far a sink is behind the source; 0 only when nothing is missing, absent when unknown."},
	{"godwit_job_sink_rows_total", counter, "rows", []string{"job", "sink"}, "Rows committed in a sink in this run."},
	{"godwit_job_sink_commits_total", counter, "", []string{"job", "sink"}, "Commits in a sink in this run."},
	{"godwit_job_sink_dead_letters_total", counter, "", []string{"job", "sink"}, "Rows that a sink refused in this run and that were put aside."},
	{"godwit_job_sink_committed_timestamp_seconds", gauge, "seconds since 1970", []string{"job", "sink"}, "When a sink committed last."},
	{"godwit_job_sink_queue_bytes", gauge, "bytes", []string{"job", "sink"}, "What waits for a sink."},
	{"godwit_job_sink_queue_limit_bytes", gauge, "bytes", []string{"job", "sink"}, "What may wait for a sink."},
	{"godwit_job_memory_bytes", gauge, "bytes", []string{"job"}, "Memory that the job's data takes."},
	{"godwit_log_kept_seconds", gauge, "seconds", []string{"job"}, "How long the job's source keeps its log; absent when there is no limit, or it is unknown."},
	{"godwit_log_reaches_back_seconds", gauge, "seconds", []string{"job"}, "How far back the log of the job's source goes now."},
	{"godwit_log_lost_in_seconds", gauge, "seconds", []string{"job"}, "When the log ends before the sink's place, at the present speed; absent while it does not."},
	{"godwit_least_kept_seconds", gauge, "seconds", nil, "The least time until a log loses what a job needs; absent when unknown."},
	{"godwit_memory_bytes", gauge, "bytes", nil, "Memory that data of all jobs takes."},
	{"godwit_memory_limit_bytes", gauge, "bytes", nil, "Memory that it may take."},

	{"godwit_http_requests_total", counter, "", []string{"route", "code"}, "Requests by what they were for and the status of the answer."},
	{"godwit_http_request_seconds", histogram, "seconds", []string{"route"}, "Time to answer; event streams are not in it."},
	{"godwit_http_streams", gauge, "", nil, "Event streams that are open."},
	{"godwit_http_running", gauge, "", nil, "Requests that are worked on."},
}

// MetricsReference returns docs/metrics.md.
func MetricsReference() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Made from the table in internal/server/metrics.go by the program itself; a test says that it is fresh. -->

` + "`GET /metrics`" + ` of a server has these for Prometheus; it needs a token with the role ` + "`read`" + `. What is not known is absent, never 0.
Numbers of jobs are at most a second old. Besides there are the process metrics ` + "`process_*` and `go_*`" + ` of Prometheus' own client.

` + "`docs/monitoring/grafana.json`" + ` is a dashboard and ` + "`docs/monitoring/alerts.yaml`" + ` has rules for alerts; both use only these names.

` + "```yaml" + `
scrape_configs:
  - job_name: godwit
    honor_labels: true # the label job is a job of godwit; without this it would be called exported_job
    authorization: {credentials_file: /etc/prometheus/godwit.token}
    static_configs: [{targets: ["127.0.0.1:7711"]}]
` + "```" + `

| name | type | unit | labels | meaning |
|---|---|---|---|---|
`)
	for _, m := range metrics {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, m.unit, labels, m.help)
	}
	return b.String()
}
