package server

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
)

func TestHistories_when_of_many_jobs(t *testing.T) {
	x := open(t)
	a := x.ask("GET", "/api/v1/history?job=shop&job=media&job=gone&points=60", "", as(reader))
	x.want(a, 200, "")
	var got struct{ Items []api.JobHistory }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != 2 || got.Items[0].Name != "shop" || got.Items[1].Name != "media" {
		t.Fatalf("%s", a.body)
	}
	h := got.Items[0].History
	if h.StepS != 15 || len(h.Series) != 1 || len(h.Series[0].Values) != 60 {
		t.Errorf("%+v", h)
	}
	a = x.ask("GET", "/api/v1/history?job=shop&series=lag&series=memory", "", as(reader))
	if x.want(a, 200, ""); !strings.Contains(string(a.body), `"series":[]`) {
		t.Errorf("series that were not asked for: %s", a.body)
	}
	x.want(x.ask("GET", "/api/v1/history?"+strings.Repeat("job=shop&", maxHistories+1), "", as(reader)), 400, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/history", "", as(reader)), 400, "BAD_REQUEST")
	x.want(x.ask("GET", "/api/v1/audit?job=shop&job=media", "", as(reader)), 400, "BAD_REQUEST")
}

func TestCoarse_when_samples_are_joined(t *testing.T) {
	v := func(numbers ...float32) (out []*float32) {
		for _, n := range numbers {
			if n < 0 {
				out = append(out, nil)
				continue
			}
			out = append(out, &n)
		}
		return out
	}
	h := api.History{From: anyTime, StepS: 15, Series: []series{
		{Name: "rows", Values: v(99, 1, 3, -1, 4, -1, -1, 5)}, {Name: "lag", Values: v(99, 1, 3, -1, 4, -1, -1, 5)}, {Name: "queue", Values: v(1)},
	}}
	got := coarse(h, api.HistoriesParams{Points: 3, Series: []api.HistoriesParamsSeries{"rows", "lag"}})
	if want := anyTime.Add(2 * 15 * time.Second); got.StepS != 45 || !got.From.Equal(want) || len(got.Series) != 2 {
		t.Errorf("%v from %v, must be from %v", got.StepS, got.From, want)
	}
	for i, want := range [][]*float32{v(3.5, 5), v(4, 5)} {
		if !reflect.DeepEqual(got.Series[i].Values, want) {
			text, _ := json.Marshal(got.Series[i].Values)
			t.Errorf("%s: %s", got.Series[i].Name, text)
		}
	}
	if none := fmt.Sprint(coarse(api.History{StepS: 1}, api.HistoriesParams{Points: 60}).Series); none != "[]" {
		t.Error(none)
	}
}
