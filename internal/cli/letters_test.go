package cli

import (
	"context"
	"strings"
	"testing"

	"godwit/internal/engine"
	"godwit/internal/job"
	"godwit/internal/watch"
)

// letters are what sinks have put aside.
var letters = []watch.Letter{
	{Sink: "lake", Table: "shop.orders", Op: "i", Pos: "0001", Key: map[string]*string{"id": text("7"), "shop": nil}, Row: map[string]*string{"id": text("7")},
		Code: "ROW_REFUSED", What: "the password is " + canary + "\tand no date", Time: now, At: "_godwit/dead/stream-1-1.jsonl"},
	{Sink: "lake", Table: "shop.orders", Op: "u", Pos: "0002", Row: map[string]*string{"a": text("1"), "b": text("2"), "c": text("3"), "d": text("4")}, Code: "ROW_REFUSED", What: "no date", Time: now},
	{Sink: "lake", Table: "shop.orders", Op: "d", Pos: "0003", Code: "ROW_REFUSED", What: "no date", Time: now},
}

// fakeLetters has letters, two a page.
type fakeLetters struct {
	fake
	asked *[]engine.LetterQuery
}

func (f fakeLetters) Letters(_ context.Context, _ *job.Spec, _ Options, q engine.LetterQuery) (watch.LetterReport, error) {
	*f.asked = append(*f.asked, q)
	items, next := cutPage(letters, q.Limit, 2, q.After)
	r := watch.LetterReport{Letters: items, Next: next}
	if q.Count {
		r.Counts, r.AtLeast = []watch.LetterCount{{Sink: "lake", Table: "shop.orders", Letters: 3}}, true
	}
	return r, nil
}

func TestDeadLetters_when_they_are_listed(t *testing.T) {
	var asked []engine.LetterQuery
	r := newTry(t, "dead-letters", "job.yaml", "--table", "shop.orders", "--sink", "lake")
	if code := Main(r.p, testRegistry, fakeLetters{asked: &asked}); code != 0 {
		t.Fatal(r.err.String())
	}
	want := now.UTC().Format("2006-01-02T15:04:05Z") + "\tlake\tshop.orders\ti\tid=7 shop=null\t0001\tROW_REFUSED\tthe password is ****** and no date\t_godwit/dead/stream-1-1.jsonl\n"
	if out := r.out.String(); !strings.HasPrefix(out, want) || !strings.Contains(out, "\ta=1 b=2 c=3\t") || strings.Count(out, "\n") != 3 {
		t.Errorf("%s\nexpected\n%s", out, want)
	}
	if !strings.Contains(r.err.String(), "sink lake: 3 dead letters of shop.orders, at least") {
		t.Error(r.err.String())
	}
	if len(asked) != 2 || !asked[0].Count || asked[1].Count || asked[0].Table != "shop.orders" || asked[0].Sink != "lake" || asked[1].After == "" {
		t.Errorf("%+v", asked)
	}
	newTry(t, "dead-letters", "job.yaml").want(2, "", "lists no dead letters")
	newTry(t, "dead-letters", "job.yaml", "--limit", "-1").want(2, "", "")
}

func TestDeadLetters_when_programs_read_them(t *testing.T) {
	var asked []engine.LetterQuery
	r := newTry(t, "dead-letters", "job.yaml", "--json", "--limit", "2")
	if code := Main(r.p, testRegistry, fakeLetters{asked: &asked}); code != 0 {
		t.Fatal(r.err.String())
	}
	ls := lines(t, r.out.String())
	for _, l := range ls {
		validate(t, l)
	}
	if len(ls) != 4 || ls[0]["type"] != lineLetter || ls[0]["key"].(map[string]any)["shop"] != nil || ls[2]["type"] != lineLetterCount || ls[2]["letters"] != 3.0 || ls[2]["at_least"] != true {
		t.Errorf("%v", ls)
	}
	if strings.Contains(r.out.String(), canary) {
		t.Error("it shows the secret")
	}
}

func TestJobDeadLetters_when_they_are_asked_of_a_server(t *testing.T) {
	th := newThere(t)
	if ls := th.json(0, lineLetter, "job", "dead-letters", "shop-to-lake"); len(ls) != 3 || ls[1]["op"] != "u" {
		t.Errorf("%v", ls)
	}
	if ls := th.json(0, lineLetterCount, "job", "dead-letters", "shop-to-lake", "--limit", "0"); len(ls) != 1 || ls[0]["letters"] != 3.0 {
		t.Errorf("%v", ls)
	}
}
