package service

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// Bounds of pages.
const (
	defaultLimit = 100
	mostLimit    = 1000
)

func limited(limit int) int {
	if limit < 1 {
		return defaultLimit
	}
	return min(limit, mostLimit)
}

// cursor is the last item of a page: where the next one goes on. People get it as an
// opaque text.
type cursor struct {
	Of   string  `json:"o"` // what is listed, and how it is sorted
	Key  float64 `json:"k,omitempty"`
	Name string  `json:"n,omitempty"`
}

func (c cursor) text() string {
	return base64.RawURLEncoding.EncodeToString([]byte(jsonText(c)))
}

// read reads what text returned for a listing of the same kind.
func (c *cursor) read(text, of string) error {
	if text == "" {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil || c.Of != of {
		return fault.New(fault.BadRequest, "after is not the next of a page of this list").Try("begin again without it")
	}
	return nil
}

// Orders of what is listed by urgency.
var (
	healthOrder = []api.JobHealth{api.JobHealthFailed, api.JobHealthAlarm, api.JobHealthRetrying, api.JobHealthChanging, api.JobHealthOk, api.JobHealthIdle}
	statusOrder = []api.Status{api.StatusFailed, api.StatusRetrying, api.StatusStopping, api.StatusPreparing, api.StatusUnassigned, api.StatusRunning,
		api.StatusPaused, api.StatusStopped, api.StatusFinished}
)

// key is what a job is sorted by; names are compared where keys are equal.
func key(field string, v *api.Job) float64 {
	switch field {
	case "health":
		return float64(slices.Index(healthOrder, v.Health))
	case "status":
		return float64(slices.Index(statusOrder, v.Standing.Status))
	case "since":
		return float64(v.Standing.Since.UnixMilli())
	case "created":
		return float64(v.Created.UnixMilli())
	case "rate":
		return rate(v.Progress)
	case "lag":
		if s, known := lag(v.Progress); known {
			return s
		}
		return -1
	}
	return 0
}

type sorted struct {
	api.Job
	key float64
}

// compare orders jobs; down: the greatest key first, and of the name alone the last.
func compare(field string, down bool, a, b *sorted) int {
	byKey, byName := cmp.Compare(a.key, b.key), strings.Compare(a.Name, b.Name)
	if down {
		byKey = -byKey
		if field == "name" {
			byName = -byName
		}
	}
	return cmp.Or(byKey, byName)
}

// List lists jobs.
func (s *Service) List(_ context.Context, q api.ListJobsParams) (api.JobPage, error) {
	page := api.JobPage{Items: []api.Job{}, Counts: map[string]int{}}
	if s.closing() {
		return page, errGone()
	}
	order := string(q.Sort)
	if order == "" {
		order = "health"
	}
	field, down := strings.CutPrefix(order, "-")
	if !api.ListJobsParamsSort(order).Valid() {
		return page, fault.New(fault.BadRequest, "sort: %q is nothing to sort by", order)
	}
	var after cursor
	if err := after.read(q.After, order); err != nil {
		return page, err
	}
	behind := &sorted{Job: api.Job{Name: after.Name}, key: after.Key}
	var found []*sorted
	for _, j := range s.all() {
		v := j.view(false)
		page.Counts[string(v.Standing.Status)]++
		if !matches(q, &v) {
			continue
		}
		page.Total++
		if one := (&sorted{v, key(field, &v)}); q.After == "" || compare(field, down, one, behind) > 0 {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b *sorted) int { return compare(field, down, a, b) })
	limit := limited(q.Limit)
	for _, one := range found[:min(limit, len(found))] {
		page.Items = append(page.Items, one.Job)
	}
	if len(found) > limit {
		last := found[limit-1]
		page.Next = cursor{Of: order, Key: last.key, Name: last.Name}.text()
	}
	s.withStarts(page.Items)
	return page, nil
}

// withStarts fills in the next starts of jobs that are listed.
func (s *Service) withStarts(items []api.Job) {
	for i := range items {
		if v := items[i].VerifySchedule; v != nil {
			v.Next = nextStarts(card{schedule: v.Text}, s.o.Now())
		}
		if items[i].Schedule == nil {
			continue
		}
		if j, err := s.job(items[i].Name); err == nil {
			items[i].Schedule.Next = nextStarts(j.show(), s.o.Now())
		}
	}
}

// matches reports whether a listing lets a job through.
func matches(q api.ListJobsParams, v *api.Job) bool {
	part := strings.ToLower(q.Q)
	switch {
	case part != "" && !strings.Contains(v.Name, part) && !strings.Contains(strings.ToLower(v.Way), part),
		len(q.Status) > 0 && !slices.Contains(q.Status, v.Standing.Status),
		q.Desired != "" && q.Desired != v.Wish.Desired,
		q.Kind != "" && q.Kind != v.Kind,
		q.Group != "" && q.Group != v.Group,
		q.Template != "" && q.Template != v.Template,
		q.TemplateBehind && !v.TemplateBehind,
		q.NeedsYou && !needsYou(v):
		return false
	}
	return true
}

// needsYou reports whether somebody must look at a job.
func needsYou(v *api.Job) bool {
	return v.Health == api.JobHealthFailed || v.Health == api.JobHealthAlarm
}

// Overview counts.
func (s *Service) Overview(_ context.Context) (api.Overview, error) {
	now := s.o.Now()
	out := api.Overview{At: now.UTC(), Counts: map[string]int{}, Memory: s.resident(), MemoryLimit: s.o.Memory, UpS: watch.Rounded(now.Sub(s.began).Seconds())}
	if s.closing() {
		return out, errGone()
	}
	add := func(sum **float64, n float64) {
		if *sum == nil {
			*sum = new(float64)
		}
		**sum += n
	}
	for _, j := range s.all() {
		v := j.view(false)
		out.Counts[string(v.Standing.Status)]++
		if needsYou(&v) {
			out.NeedsYou++
		}
		if j.wasTakenUp() {
			out.TakenUp++
		}
		p := v.Progress
		if j.lifeNow() == nil || p == nil {
			continue
		}
		if n := rate(p); n >= 0 && p.Files == nil {
			add(&out.RowsS, n)
		}
		if p.ByteRate != nil {
			add(&out.BytesS, *p.ByteRate)
		}
		behind, known := lag(p)
		if known && (out.WorstLagS == nil || behind > *out.WorstLagS) {
			out.WorstLagS, out.WorstLagJob = &behind, v.Name
		}
		if p.KeptFor != nil {
			if left := max(0, *p.KeptFor-behind); out.LeastKeptS == nil || left < *out.LeastKeptS {
				out.LeastKeptS = &left
			}
		}
	}
	for _, sum := range []*float64{out.RowsS, out.BytesS, out.LeastKeptS} {
		if sum != nil {
			*sum = watch.Rounded(*sum)
		}
	}
	return out, nil
}

func (j *living) wasTakenUp() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.takenUp
}

// paged cuts a page out of items, which are in order of their names or as found; at
// is the number of the first.
func paged[T any](items []T, of, after string, limit int) (page []T, next string, err error) {
	var from cursor
	if err := from.read(after, of); err != nil {
		return nil, "", err
	}
	first := min(int(from.Key), len(items))
	last := min(first+limited(limit), len(items))
	if last < len(items) {
		next = cursor{Of: of, Key: float64(last)}.text()
	}
	return items[first:last], next, nil
}

// Tasks lists a job's tasks, as found.
func (s *Service) Tasks(_ context.Context, name string, q api.ListTasksParams) (api.TaskPage, error) {
	page := api.TaskPage{Items: []api.Task{}}
	j, err := s.job(name)
	if err != nil {
		return page, err
	}
	state, lives := j.stateNow(), j.lifeNow() != nil
	var found []int
	for i := range state.Tasks {
		t := &state.Tasks[i]
		if (q.Table == "" || t.Table == q.Table) && (len(q.Status) == 0 || slices.Contains(q.Status, api.Status(t.Status.String()))) {
			found = append(found, i)
		}
	}
	page.Total = len(found)
	numbers, next, err := paged(found, "tasks", q.After, q.Limit)
	for _, i := range numbers {
		page.Items = append(page.Items, viewTask(&state.Tasks[i], lives))
	}
	page.Next = next
	return page, err
}
