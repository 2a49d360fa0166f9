package table

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/watch"
)

// box is what two sinks have: every third letter is of table b.
func box(sink string, n int, each func(string, connector.StoredLetter) error) error {
	for i := range n {
		x := connector.StoredLetter{Mark: fmt.Sprint(i), Table: "shop.a", Pos: fmt.Sprint(sink, i)}
		if i%3 == 0 {
			x.Table = "shop.b"
		}
		if err := each(sink, x); err != nil {
			return err
		}
	}
	return nil
}

func page(q engine.LetterQuery, many int) watch.LetterReport {
	l := letters{q: q, counts: map[watch.LetterCount]int64{}, report: watch.LetterReport{Letters: []watch.Letter{}}}
	if err := box("s1", many, l.add); !errors.Is(err, errEnough) {
		_ = box("s2", 5, l.add)
	}
	return l.end()
}

func TestLetters_when_a_page_ends(t *testing.T) {
	r := page(engine.LetterQuery{Limit: 4}, 10)
	if len(r.Letters) != 4 || r.Next != "s1/3" || r.Counts != nil {
		t.Errorf("%+v", r)
	}
	r = page(engine.LetterQuery{Limit: 15}, 10)
	if len(r.Letters) != 15 || r.Next != "" {
		t.Errorf("the last page: %d letters, then %q", len(r.Letters), r.Next)
	}
	r = page(engine.LetterQuery{Limit: 2, Table: "shop.b", Count: true}, 10)
	if len(r.Letters) != 2 || r.Letters[1].Pos != "s13" || r.Next != "s1/5" {
		t.Errorf("of one table: %+v", r)
	}
	want := "[{s1 shop.a 6} {s1 shop.b 4} {s2 shop.a 3} {s2 shop.b 2}]"
	if got := fmt.Sprint(r.Counts); got != want || r.AtLeast {
		t.Errorf("%s, %v", got, r.AtLeast)
	}
}

func TestLetters_when_there_are_too_many_to_read(t *testing.T) {
	r := page(engine.LetterQuery{Limit: 5, Table: "shop.none", Count: true}, maxLettersRead+10)
	if len(r.Letters) != 0 || r.Next != fmt.Sprint("s1/", maxLettersRead-1) || !r.AtLeast {
		t.Errorf("%d letters, next %q, %v", len(r.Letters), r.Next, r.AtLeast)
	}
	r = page(engine.LetterQuery{Limit: 5, Count: true}, maxLettersRead+10)
	if len(r.Letters) != 5 || r.Next != "s1/4" || !r.AtLeast {
		t.Errorf("%d letters, next %q, %v", len(r.Letters), r.Next, r.AtLeast)
	}
}

func TestShownCells_when_there_is_much(t *testing.T) {
	long := strings.Repeat("ü", maxCellText)
	cells := map[string]*string{"a": nil, "b": &long}
	for i := range 2 * maxLetterCells {
		cells[fmt.Sprintf("c%03d", i)] = nil
	}
	out := shownCells(cells)
	if v, there := out["a"]; len(out) != maxLetterCells || !there || v != nil || len(*out["b"]) != maxCellText+len("…") {
		t.Errorf("%d cells, %v", len(out), out["b"])
	}
}
