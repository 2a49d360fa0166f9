package service

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// Variables that make the test binary a child which acts on jobs until it is killed.
const (
	childDir  = "GODWIT_TEST_CHILD_DIR"
	childSeed = "GODWIT_TEST_CHILD_SEED"
)

var killed = []string{"a", "b", "c"}

// child acts on jobs at random. Before each act it says what it tries, and after it
// that it was done.
func child() {
	seed, _ := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	random := rand.New(rand.NewPCG(seed, 1))
	s, err := Open(context.Background(), Options{
		Dir: os.Getenv(childDir), Engine: &fake{}, Systems: systems, Memory: 1 << 30, Log: slog.New(slog.DiscardHandler),
		Resolver: option.Resolver{Env: func(string) (string, bool) { return canary, true }},
	})
	if err != nil {
		fmt.Println("broken", err)
		os.Exit(1)
	}
	for _, name := range killed {
		if _, err := s.Submit(context.Background(), ana, "", api.Submission{File: tableFile(name)}); err != nil && !fault.Has(err, fault.NameTaken) {
			fmt.Println("broken", err)
			os.Exit(1)
		}
	}
	acts := map[api.ActAct]api.Desired{
		api.ActActPause: api.DesiredPaused, api.ActActResume: api.DesiredRunning, api.ActActStop: api.DesiredStopped, api.ActActStart: api.DesiredRunning,
	}
	all := []api.ActAct{api.ActActPause, api.ActActResume, api.ActActStop, api.ActActStart}
	for {
		name, act := killed[random.IntN(len(killed))], all[random.IntN(len(all))]
		fmt.Println("try", name, acts[act])
		if v, err := s.Act(context.Background(), ana, name, api.Act{Act: act}); err == nil {
			fmt.Println("done", name, v.Wish.Desired)
		} else if !fault.Has(err, fault.NotNow) {
			fmt.Println("broken", err)
		}
	}
}

func TestOpen_when_the_process_was_killed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(t)
	w.close()
	wanted, tried := map[string]string{}, map[string]string{}
	for round := range 6 {
		letDie(t, w.dir, seed+uint64(round), 10+random.IntN(60), wanted, tried)
		w.open()
		for _, name := range killed {
			v, err := w.Show(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(v.Wish.Desired); wanted[name] != "" && got != wanted[name] && got != tried[name] {
				t.Errorf("round %d: %s is wanted %s; %s was promised, and %s was tried last", round, name, got, wanted[name], tried[name])
			}
			w.stands(name, api.Status(v.Wish.Desired))
			wanted[name], tried[name] = string(v.Wish.Desired), ""
		}
		if ran := w.engine.work("a").names(); !rises(ran) {
			t.Errorf("attempts: %q", ran)
		}
		w.close()
	}
}

// letDie lets a child act, and kills it when it has said so many lines.
func letDie(t *testing.T, dir string, seed uint64, lines int, wanted, tried map[string]string) {
	t.Helper()
	untilKilled(t, lines, func(word, rest string) bool {
		name, desired, _ := strings.Cut(rest, " ")
		switch word {
		case "try":
			tried[name] = desired
		case "done":
			wanted[name], tried[name] = desired, ""
		default:
			return false
		}
		return true
	}, childDir+"="+dir, childSeed+"="+strconv.FormatUint(seed, 10))
}

// untilKilled runs this test as a child with an environment, tells heard each line that
// it says, and kills it when it has said so many. heard returns whether that is a line
// which it may say.
func untilKilled(t *testing.T, lines int, heard func(word, rest string) bool, env ...string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); lines-- {
		if lines == 0 { // what it says until it is dead still counts
			if err := c.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		if word, rest, _ := strings.Cut(in.Text(), " "); !heard(word, rest) {
			t.Errorf("the child said %q", in.Text())
		}
	}
	_ = c.Wait() // it was killed
}
