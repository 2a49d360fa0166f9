package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit/test/servers/mariadb"
)

func TestTurns_when_rounds_are_even_and_odd(t *testing.T) {
	c := []contestant{{name: "a"}, {name: "b"}, {name: "c"}}
	for round, want := range map[int]string{0: "a b a again c", 1: "c a again b a", 2: "a b a again c"} {
		var got []string
		for _, turn := range turns(c, round) {
			got = append(got, turn.label)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("round %d: %q, want %q", round, got, want)
		}
	}
	if alone := turns(c[:1], 0); len(alone) != 2 || alone[1].label != "a again" {
		t.Errorf("alone: %v", alone)
	}
}

func TestMedian_when_odd_and_even(t *testing.T) {
	of := func(s sample) float64 { return s.wall.Seconds() }
	var all []sample
	for i, want := range []float64{5, 3, 2, 2.5} {
		all = append(all, sample{wall: []time.Duration{5, 1, 2, 3}[i] * time.Second})
		if got := median(all, of); got != want {
			t.Errorf("median of %d: %v, want %v", len(all), got, want)
		}
	}
}

func TestTuples_when_rows_are_hard(t *testing.T) {
	in := "/*!40101 SET NAMES binary*/;\nINSERT INTO `t` VALUES\n(1,\"a\\\"b\",NULL)\n,(2,\"it\\'s, (so)\",\"\\\\\");\nINSERT INTO `t` VALUES (3,\"\",\"x\");\n"
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	if err := tuples(w, []byte(in)); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush()
	if d := cmp.Diff("1,\"a\"\"b\",NULL\n2,\"it's, (so)\",\"\\\"\n3,\"\",\"x\"\n", out.String()); d != "" {
		t.Fatal(d)
	}
	for _, bad := range []string{"(1,\"a\n", "(1,\"a)\n", "(1,\"\\n\")\n"} {
		if tuples(w, []byte(bad)) == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestCountChanges_when_the_log_rotates(t *testing.T) {
	b := bench{server: mariadb.Start(t)}
	s := b.server
	s.Exec(t, "create database a; create table a.t (id int primary key, c int)")
	from, err := b.head()
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "insert into a.t values (1, 1), (2, 2), (3, 3); update a.t set c = 7; flush binary logs; delete from a.t where id < 3")
	to, err := b.head()
	if err != nil {
		t.Fatal(err)
	}
	n, err := countChanges(uint16(s.Port), s.User, s.Password, from, to)
	if err != nil || n != 8 {
		t.Fatalf("%d changes of 8, %v", n, err)
	}
}

func TestFirstRow_when_said_and_not(t *testing.T) {
	if got := firstRow([]byte("{\"type\":\"start\"}\n{\"type\":\"summary\",\"first_row_ms\":42}\n")); got != 42 {
		t.Errorf("%d", got)
	}
	if got := firstRow([]byte("{}\nno json\n")); got != -1 {
		t.Errorf("%d", got)
	}
}

func TestRelease_when_a_build_has_a_name(t *testing.T) {
	for text, want := range map[string]string{"6.1.0-28-amd64\n": "6.1.0", "6.12.9\n": "6.12.9"} {
		if got := release(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
