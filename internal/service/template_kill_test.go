package service

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// childRolls makes the child edit a template again and again.
const childRolls = "GODWIT_TEST_CHILD_ROLLS"

var rolled = []string{"a", "b", "c", "d", "e", "f"}

// rollingChild edits a template until it is killed. Before each edit it says which
// version it tries to make, and after it that it did.
func rollingChild() {
	s, err := Open(context.Background(), Options{
		Dir: os.Getenv(childDir), Engine: &fake{}, Systems: systems, Memory: 1 << 30, Log: slog.New(slog.DiscardHandler),
		Resolver: option.Resolver{Env: func(string) (string, bool) { return canary, true }},
	})
	if err == nil {
		_, err = s.SubmitTemplate(context.Background(), ana, api.TemplateSubmission{File: shards})
	}
	in := api.TemplateJobs{}
	for _, n := range rolled {
		in.Values = append(in.Values, api.Values{"shard": n})
	}
	for err == nil || fault.Has(err, fault.NameTaken) {
		var r api.TemplateResult
		if r, err = s.MakeJobs(context.Background(), ana, "shards", in); r.Failed > 0 {
			break
		}
		var t api.Template
		if t, err = s.ShowTemplate(context.Background(), "shards"); err != nil {
			break
		}
		fmt.Println("try", t.Version+1)
		e := api.TemplateEdit{Version: t.Version, File: shards + fmt.Sprintf("parallel: %d\n", 1+t.Version%60)}
		if r, err = s.EditTemplate(context.Background(), ana, "shards", e); err != nil || r.Failed > 0 {
			break
		}
		fmt.Println("done", r.Version)
	}
	fmt.Println("broken", err)
}

func TestEditTemplate_when_the_process_was_killed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(t)
	w.close()
	halfway := 0
	for round := range 8 {
		tried, done := letRollAndDie(t, w.dir, 1+random.IntN(12))
		w.open()
		one, err := w.ShowTemplate(t.Context(), "shards")
		if err != nil || one.Version < done || one.Version > max(tried, done) {
			t.Fatalf("round %d: version %d, %v; %d was promised, %d tried", round, one.Version, err, done, tried)
		}
		if one.Behind > 0 {
			halfway++
		}
		for _, n := range rolled {
			v := w.await("shop-"+n, "at the newest version", func(v api.Job) bool { return !v.TemplateBehind && v.TemplateVersion == one.Version })
			file, err := w.Version(t.Context(), v.Name, v.Version)
			if want := fmt.Sprintf("parallel: %d\n", 1+(one.Version-1)%60); err != nil || one.Version > 1 && !strings.HasSuffix(file.File, want) {
				t.Errorf("round %d: %s is at version %d: %v\n%s", round, n, one.Version, err, file.File)
			}
			versions, err := w.Versions(t.Context(), v.Name)
			seen := map[string]bool{}
			for _, v := range versions {
				if seen[v.Reason] || err != nil {
					t.Errorf("round %d: %s had %q twice, or %v", round, n, v.Reason, err)
				}
				seen[v.Reason] = true
			}
		}
		w.close()
	}
	t.Logf("%d times it died halfway", halfway)
	w.open()
}

// letRollAndDie lets a child edit a template, and kills it when it has said so many
// lines. It returns the last version that was tried, and the last that was made.
func letRollAndDie(t *testing.T, dir string, lines int) (tried, done int64) {
	t.Helper()
	untilKilled(t, lines, func(word, rest string) bool {
		n, err := strconv.ParseInt(rest, 10, 64)
		switch {
		case word == "try" && err == nil:
			tried = n
		case word == "done" && err == nil:
			done = n
		default:
			return false
		}
		return true
	}, childDir+"="+dir, childRolls+"=1")
	return tried, done
}
