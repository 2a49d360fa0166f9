package server

import (
	"net/http"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// Bounds of the document for histories of several jobs.
const (
	maxHistories = 200
	maxSeries    = 6
	maxPoints    = 200
	usualPoints  = 60
)

// Histories shows what a list of jobs draws beside each of them.
func (c calls) Histories(w http.ResponseWriter, r *http.Request, p api.HistoriesParams) {
	var f flaws
	q := r.URL.Query()
	f.number("the number of jobs", int64(len(p.Job)), 0, maxHistories)
	for _, name := range p.Job {
		f.name("job", name)
	}
	f.number("the number of series", int64(len(p.Series)), 0, maxSeries)
	for _, s := range p.Series {
		word(&f, "series", s)
	}
	if !q.Has("span") {
		p.Span = api.Last15M
	}
	word(&f, "span", p.Span)
	if !q.Has("points") {
		p.Points = usualPoints
	}
	f.number("points", int64(p.Points), 1, maxPoints)
	if f.refused(w, r) {
		return
	}
	out := listed[api.JobHistory]{[]api.JobHistory{}}
	for _, name := range p.Job {
		h, err := c.svc().History(r.Context(), name, api.HistoryParams{Span: api.HistoryParamsSpan(p.Span)})
		switch {
		case fault.Has(err, fault.JobUnknown): // deleted since the list was drawn
		case err != nil:
			problem(w, r, err)
			return
		default:
			out.Items = append(out.Items, api.JobHistory{Name: name, History: coarse(h, p)})
		}
	}
	give(w, r, http.StatusOK, out, nil)
}

// coarse returns the series that are asked for, in so many points. The newest sample
// stays within the last of them; the oldest go where their number does not fit.
func coarse(h api.History, p api.HistoriesParams) api.History {
	h.Series = slices.DeleteFunc(items(h.Series), func(s series) bool {
		return len(p.Series) > 0 && !slices.Contains(p.Series, api.HistoriesParamsSeries(s.Name))
	})
	longest := 0
	for _, s := range h.Series {
		longest = max(longest, len(s.Values))
	}
	each := max(1, (longest+p.Points-1)/p.Points)
	h.From = h.From.Add(time.Duration(longest%each*h.StepS) * time.Second)
	h.StepS *= each
	for i, s := range h.Series {
		peak := s.Name == api.HistorySeriesNameLag || s.Name == api.HistorySeriesNameMemory
		values := []*float32{}
		for part := range slices.Chunk(s.Values[len(s.Values)%each:], each) {
			values = append(values, joined(part, peak))
		}
		h.Series[i].Values = values
	}
	return h
}

// series is one of a history.
type series = struct {
	Name   api.HistorySeriesName `json:"name"`
	Unit   api.HistorySeriesUnit `json:"unit"`
	Values []*float32            `json:"values"`
}

// joined is one value for several; nil where none is known.
func joined(values []*float32, peak bool) *float32 {
	var sum, n float64
	for _, v := range values {
		switch {
		case v == nil:
		case peak:
			sum, n = max(sum, float64(*v)), 1
		default:
			sum, n = sum+float64(*v), n+1
		}
	}
	if n == 0 {
		return nil
	}
	mean := float32(sum / n)
	return &mean
}
