package fake

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/watch"
)

// make invents job i. Some of each kind come first, so that screens have them all.
func (s *Server) make(i int) *api.Job {
	now := s.started.UTC()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	j := &api.Job{
		Name: fmt.Sprintf("shop-%03d", i), Kind: api.Tables, Way: fmt.Sprintf("mysql shop-db-%d:3306 → lake, pg", i%7), Version: int64(1 + i%9), Run: int64(1 + i%4), Group: []string{"", "eu", "us"}[i%3],
		Created: ago(90 * 24 * time.Hour), Updated: ago(time.Duration(i%90+1) * time.Hour), UpdatedBy: []string{"ana", "ben", "schedule"}[i%3], Health: api.JobHealthOk,
		Standing: api.Standing{Status: api.StatusRunning, Since: ago(time.Duration(i+3) * time.Minute), Attempt: int64(1 + i%3), Worker: "host-a:4711"},
		Wish:     api.Wish{Desired: api.DesiredRunning, Since: ago(time.Hour), By: "ana"},
		Tasks:    api.TaskCounts{Total: s.tables, Running: 4, Waiting: s.tables - 4},
	}
	switch {
	case i == 0:
		j.Name = "shop-to-lake"
	case i == 1:
		s.failed(j, ago)
	case i == 2:
		s.retrying(j, ago)
	case i == 3:
		s.fallsBehind(j, ago)
	case i%10 == 4:
		s.files(j, i)
	case i%10 == 5:
		j.Standing.Status, j.Health = api.StatusPaused, api.JobHealthIdle
		j.Wish = api.Wish{Desired: api.DesiredPaused, Since: ago(2 * time.Hour), By: "ben", Reason: "the lake is moved"}
	case i%10 == 6:
		j.Standing.Status, j.Health = api.StatusFinished, api.JobHealthIdle
		j.Schedule = &api.Schedule{Text: "CRON_TZ=Europe/Berlin 0 4 * * *", Next: []time.Time{now.Add(9 * time.Hour), now.Add(33 * time.Hour), now.Add(57 * time.Hour)}}
	case i%10 == 8:
		j.Standing.Status = api.StatusPreparing
	}
	if j.Kind == api.Tables && j.Standing.Status != api.StatusPreparing {
		j.Progress = s.tableProgress(j, i)
	}
	return j
}

func (s *Server) failed(j *api.Job, ago func(time.Duration) time.Time) {
	j.Name, j.Health, j.Alarms = "orders-to-pg", api.JobHealthFailed, 1
	j.Standing.Status, j.Standing.Since, j.Standing.Fruitless = api.StatusFailed, ago(14*time.Minute), 3
	j.Standing.Error = &api.Fault{
		Class: api.FaultClassUser, Code: "SOURCE_GRANTS", What: "godwit@10.0.0.5 may not read the binlog of shop-db:3306", Where: "job.yaml:4:3 source.mysql",
		Cause: "ERROR 1227 (42000): Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation", Hint: "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'godwit'@'10.0.0.5';",
	}
	j.Tasks.Failed = 1
	s.alarms = append(s.alarms, api.Alarm{ID: "a1", Kind: "job failed", Job: j.Name, What: "the job stopped and does not go on by itself", Hint: "mend what the error says, then retry", Raised: ago(14 * time.Minute)},
		api.Alarm{ID: "a0", Kind: "lag", Job: j.Name, What: "pg is more than 3 m behind the source", Raised: ago(30 * time.Hour), Resolved: ago(29 * time.Hour)})
}

func (s *Server) retrying(j *api.Job, ago func(time.Duration) time.Time) {
	j.Name, j.Health = "stock-to-lake", api.JobHealthRetrying
	j.Standing.Status, j.Standing.Fruitless, j.Standing.NextRetryAt = api.StatusRetrying, 2, s.started.Add(40*time.Second)
	j.Standing.Error = &api.Fault{Class: api.FaultClassRetry, Code: "SOURCE_UNREACHABLE", What: "stock-db:3306 does not answer", Where: "source", Cause: "dial tcp 10.0.0.9:3306: connect: connection refused", Hint: "Check address, port, firewall and whether the server is up."}
}

func (s *Server) fallsBehind(j *api.Job, ago func(time.Duration) time.Time) {
	j.Name, j.Health, j.Alarms = "clicks-to-lake", api.JobHealthAlarm, 1
	s.alarms = append(s.alarms, api.Alarm{ID: "a2", Kind: "lag", Job: j.Name, On: "pg", What: "pg falls behind: at this rate the source's log loses what it needs in about 1 d 23 h", Hint: "the job's progress names the brake; a faster target, more memory or fewer tables in the job help", Raised: ago(50 * time.Minute)})
}

func (s *Server) files(j *api.Job, i int) {
	j.Kind, j.Way, j.Name = api.Files, "s3://media → file:///backup/media", fmt.Sprintf("media-%03d", i)
	rate, bytes, started := 1324.0, 1.02*(1<<30), s.started.UTC()
	j.Progress = &watch.Progress{
		Job: j.Name, Run: 3, Phase: watch.Listing, Since: started, Started: started, Sampled: started, Bytes: 1 << 40, ByteRate: &bytes,
		Rows: watch.Count{Done: 1_920_006, Kind: watch.None}, Memory: watch.Memory{Used: 96 << 20, Limit: 128 << 20},
		Files: &watch.Objects{
			Round: 1, Listed: watch.Ended{Objects: 2_304_118, Bytes: 19 << 37}, Ranges: 64, RangesListed: 41, Copied: watch.Ended{Objects: 1_920_006, Bytes: 14 << 37},
			Same: watch.Ended{Objects: 211_440}, Failed: watch.Ended{Objects: 3}, Left: watch.Ended{Objects: 172_669, Bytes: 3 << 37}, Rate: &rate,
		},
	}
}

// tableProgress invents how far a table job is: every third follows the log.
func (s *Server) tableProgress(j *api.Job, i int) *watch.Progress {
	now := s.started.UTC()
	p := &watch.Progress{
		Job: j.Name, Run: uint64(j.Run), Mode: "snapshot, then stream", Phase: watch.Snapshot, Since: now.Add(-25 * time.Minute), Started: now.Add(-25 * time.Minute), Sampled: now,
		Note: "went on at chunk 812 of 2,104 after a stop", Bytes: 40 << 30, Tables: watch.TableCounts{Total: s.tables, Done: s.tables / 3, Active: 4, Waiting: s.tables - s.tables/3 - 4},
		Memory: watch.Memory{Used: 96 << 20, Limit: 128 << 20}, Brake: &watch.Brake{Sink: "pg", Stage: "commit", Share: .71},
		Stages: []watch.Stage{{Stage: "source", Busy: .22, Blocked: .7, Waiting: .08}, {Stage: "decode", Busy: .1, Blocked: .8, Waiting: .1}, {Sink: "pg", Stage: "commit", Busy: .71, Waiting: .29}, {Sink: "lake", Stage: "apply", Busy: .3, Waiting: .7}},
	}
	kept, rate, bytes := 76.0*3600, 0.0, 0.0
	p.KeptFor, p.Rate, p.ByteRate = &kept, &rate, &bytes
	pct := float64(20 + i%70)
	p.Rows = watch.Count{Done: int64(pct * 2.1e6), Total: 210e6, Kind: watch.Estimate, Percent: &pct}
	p.Left = &watch.Left{Seconds: 975, Low: 840, High: 1200, Basis: "at this rate"}
	for _, name := range []string{"lake", "pg"} {
		at := now
		p.Sinks = append(p.Sinks, watch.Sink{Name: name, Rows: 128_120_000, Commits: 4012, CommittedAt: &at, Position: "0-1-88412", Queue: int64(len(name)) * 10 << 20, QueueLimit: 64 << 20, Lag: watch.Lag{State: watch.Unknown}})
	}
	for k := range 4 {
		part := float64(30 + 10*k)
		speed := 20000.0
		p.Active = append(p.Active, watch.Table{Name: tableName(k), Rows: watch.Count{Done: int64(part * 1e4), Total: 1e6, Kind: watch.Estimate, Percent: &part}, Rate: &speed, ChunksDone: int(part), Chunks: 100})
	}
	if i%3 == 0 && i > 0 {
		s.follows(j, p)
	}
	return p
}

func (s *Server) follows(j *api.Job, p *watch.Progress) {
	lag, rate, ahead, head := 0.0, 0.0, int64(0), s.started.UTC()
	p.Phase, p.Left, p.Active, p.Brake = watch.Stream, nil, nil, nil
	p.Changes = &watch.Changes{Rows: 4_812_007, Rate: &rate, Position: "mysql-bin.007:8467", Head: "mysql-bin.007:8467", HeadAt: &head, Ahead: &ahead, Lag: watch.Lag{State: watch.CaughtUp, Seconds: &lag, Sink: "pg"}}
	if j.Health == api.JobHealthAlarm {
		lag, ahead = 250, 41<<20
		falling, lost := 12.0, 47.0*3600
		p.Changes.Lag.State, p.Changes.Falling, p.Changes.LostIn = watch.Behind, &falling, &lost
	}
	for i := range p.Sinks {
		p.Sinks[i].Lag = p.Changes.Lag
	}
}

// Tick moves everything on by a second and tells of every job that runs.
func (s *Server) Tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seconds++
	now := time.Now().UTC()
	for i, j := range s.jobs {
		if j.Progress == nil || j.Standing.Status != api.StatusRunning {
			continue
		}
		p := *j.Progress // what was told before stays as it was
		p.Sampled = now
		wave := 1 + .4*math.Sin(float64(s.seconds+17*i)/9)
		rate, bytes := 84100*wave, 32715571*wave
		p.ByteRate = &bytes
		switch {
		case p.Files != nil:
			f := *p.Files
			objects := 1324 * wave
			f.Rate = &objects
			f.Copied.Objects += int64(objects)
			f.Listed.Objects += int64(1600 * wave)
			p.Files = &f
		case p.Changes != nil:
			c := *p.Changes
			changes := 1204 * wave
			c.Rate, c.HeadAt = &changes, &now
			c.Rows += int64(changes)
			p.Changes, p.Rate = &c, nil
		default:
			p.Rate = &rate
			p.Rows.Done = min(p.Rows.Done+int64(rate), p.Rows.Total-1)
			pct := 100 * float64(p.Rows.Done) / float64(p.Rows.Total)
			p.Rows.Percent = &pct
		}
		p.Sinks = slices.Clone(p.Sinks)
		for k := range p.Sinks {
			p.Sinks[k].Rows += int64(rate)
			p.Sinks[k].CommittedAt = &now
		}
		j.Progress = &p
		s.tell("job", *j)
	}
}

func tableName(k int) string { return fmt.Sprintf("shop.orders_%05d", k) }

func taskID(k int) string { return fmt.Sprintf("copy-%05d", k) }

// table invents table k of a job.
func (s *Server) table(j *api.Job, k int) api.Table {
	rows := int64(1e4 + 997*k%5_000_000)
	t := api.Table{Name: tableName(k), Rows: rows, Bytes: rows * 140, Chunks: 1 + k%40, Generation: 1, Standing: api.Standing{Status: api.StatusUnassigned, Since: s.started.UTC()}}
	speed := 20000.0
	switch {
	case k < 4:
		t.Standing.Status, t.Standing.Attempt, t.Standing.Worker, t.Done, t.RowsS = api.StatusRunning, 1, "host-a:4711", rows/3, &speed
	case k%1000 == 17 && !s.mended[j.Name+"/"+t.Name] && !s.mended[j.Name+"/"+taskID(k)]:
		t.Standing.Status, t.Standing.Attempt, t.Standing.Fruitless = api.StatusRetrying, 3, 2
		t.Standing.NextRetryAt = s.started.Add(40 * time.Second).UTC()
		t.Standing.Error = &api.Fault{Class: api.FaultClassRetry, Code: "SOURCE_BUSY", What: "a lock wait ended the query", Where: t.Name, Cause: "ERROR 1205 (HY000): Lock wait timeout exceeded", Hint: "look for a long transaction at the source"}
	case k%3 == 0:
		t.Standing.Status, t.Done, t.ChunksDone = api.StatusFinished, rows, t.Chunks
	case k%50 == 1:
		t.Rows, t.Bytes = -1, -1
	}
	return t
}

// ListTables implements the API.
func (s *Server) ListTables(w http.ResponseWriter, _ *http.Request, name api.Name, p api.ListTablesParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	var out []api.Table
	for k := range s.tables {
		t := s.table(j, k)
		if j.Kind == api.Tables && strings.Contains(t.Name, p.Q) && (len(p.Status) == 0 || slices.Contains(p.Status, t.Standing.Status)) {
			out = append(out, t)
		}
	}
	page := api.TablePage{Total: len(out)}
	page.Items, page.Next = cut(out, p.After, p.Limit)
	answer(w, page)
}

// ListTasks implements the API.
func (s *Server) ListTasks(w http.ResponseWriter, _ *http.Request, name api.Name, p api.ListTasksParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	var out []api.Task
	for k := range s.tables {
		t := s.table(j, k)
		task := api.Task{ID: taskID(k), Kind: api.TaskKindCopy, Table: t.Name, Standing: t.Standing}
		if len(p.Status) == 0 || slices.Contains(p.Status, task.Standing.Status) {
			out = append(out, task)
		}
	}
	page := api.TaskPage{Total: len(out)}
	page.Items, page.Next = cut(out, p.After, p.Limit)
	answer(w, page)
}

// History implements the API: waves, with a gap where nothing was running.
func (s *Server) History(w http.ResponseWriter, _ *http.Request, name api.Name, p api.HistoryParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	n, step := 900, 1
	switch p.Span {
	case api.N6H:
		n, step = 1440, 15
	case api.N7D:
		n, step = 2016, 300
	}
	answer(w, waves(j, n, step))
}

// Histories implements the API.
func (s *Server) Histories(w http.ResponseWriter, _ *http.Request, p api.HistoriesParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []api.JobHistory{}
	for _, name := range p.Job {
		if j := s.byName[name]; j != nil {
			items = append(items, api.JobHistory{Name: name, History: waves(j, p.Points, 900/p.Points)})
		}
	}
	answer(w, map[string]any{"items": items})
}

func waves(j *api.Job, n, step int) api.History {
	h := api.History{StepS: step, From: time.Now().Add(-time.Duration(n*step) * time.Second).UTC()}
	add := func(name api.HistorySeriesName, unit api.HistorySeriesUnit, base float64) {
		values := make([]*float32, n)
		for i := range values {
			if i > n/3 && i < n/3+n/12 {
				continue
			}
			v := float32(base * (1 + .3*math.Sin(float64(i*step)/40) + .1*math.Sin(float64(i*i))))
			values[i] = &v
		}
		h.Series = append(h.Series, struct {
			Name   api.HistorySeriesName `json:"name"`
			Unit   api.HistorySeriesUnit `json:"unit"`
			Values []*float32            `json:"values"`
		}{name, unit, values})
	}
	add(api.HistorySeriesNameRows, api.N1S, 84100)
	add(api.HistorySeriesNameBytes, api.BS, 32715571)
	if j.Progress != nil && j.Progress.Changes != nil {
		add(api.HistorySeriesNameChanges, api.N1S, 1204)
		add(api.HistorySeriesNameLag, api.S, 40)
	}
	add(api.HistorySeriesNameMemory, api.B, 96<<20)
	add(api.HistorySeriesNameQueue, api.B, 20<<20)
	return h
}
