package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// glass is a terminal just able to show what a screen writes: it wraps, scrolls
// away nothing, and knows the codes that are used.
type glass struct {
	width, row, col int
	rows            [][]rune
}

func (g *glass) write(s string) {
	r := []rune(s)
	for i := 0; i < len(r); i++ {
		switch {
		case r[i] == '\r':
			g.col = 0
		case r[i] == '\n':
			g.row, g.col = g.row+1, 0
		case r[i] == 0x1b && i+1 < len(r) && r[i+1] == '[':
			j := i + 2
			for r[j] < '@' {
				j++
			}
			n, _ := strconv.Atoi(string(r[i+2 : j]))
			switch r[j] {
			case 'A':
				g.row = max(0, g.row-n)
			case 'J':
				g.rows = g.rows[:min(g.row, len(g.rows))]
			}
			i = j
		default:
			g.put(r[i])
		}
	}
}

func (g *glass) put(r rune) {
	if g.col+runeCells(r) > g.width {
		g.row, g.col = g.row+1, 0
	}
	for len(g.rows) <= g.row {
		g.rows = append(g.rows, nil)
	}
	for len(g.rows[g.row]) <= g.col {
		g.rows[g.row] = append(g.rows[g.row], ' ')
	}
	g.rows[g.row][g.col] = r
	g.col += runeCells(r)
}

func (g *glass) text() string {
	var out []string
	for _, r := range g.rows {
		out = append(out, strings.TrimRight(string(r), " "))
	}
	return strings.Join(out, "\n")
}

// testScreen is a terminal on w at which a frame's time passes with each look at
// the clock.
func testScreen(w io.Writer, size func() (int, int)) *screen {
	s := newScreen(w)
	at := now
	s.size, s.now = size, func() time.Time { at = at.Add(frame); return at }
	return s
}

func TestScreen_when_lines_come_fast(t *testing.T) {
	var b buffer
	s := testScreen(&b, func() (int, int) { return 40, 10 })
	s.now = func() time.Time { return now }
	s.paint([]string{"block"})
	for range 100 {
		s.print("line")
	}
	if n := strings.Count(b.String(), "block"); n != 1 {
		t.Errorf("the block is painted %d times in one moment", n)
	}
	s.paint([]string{"block"})
	g := &glass{width: 40}
	g.write(b.String())
	if got := g.text(); got != strings.Repeat("line\n", 100)+"block" {
		t.Errorf("got\n%s", got)
	}
}

func TestScreen_when_lines_scroll_above_the_block(t *testing.T) {
	var b buffer
	width := 20
	s := testScreen(&b, func() (int, int) { return width, 10 })
	s.print("one")
	s.paint([]string{"block a", "block b that is far too wide for it"})
	s.print("two")
	s.paint([]string{"block c"})
	s.print("three")
	g := &glass{width: width}
	g.write(b.String())
	if got, want := g.text(), "one\ntwo\nthree\nblock c"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.paint(nil)
	s.print("end")
	g = &glass{width: width}
	g.write(b.String())
	if got, want := g.text(), "one\ntwo\nthree\nend"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestScreen_when_made_narrower repaints after the terminal has wrapped the old
// lines.
func TestScreen_when_made_narrower(t *testing.T) {
	var b buffer
	width := 40
	s := testScreen(&b, func() (int, int) { return width, 10 })
	s.print("above")
	s.paint([]string{strings.Repeat("x", 39), strings.Repeat("y", 39)})
	width = 20
	s.paint([]string{"new"})
	g := &glass{width: 20} // as if it had been narrow when the old lines came
	g.write(b.String())
	if got, want := g.text(), "above\nnew"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestScreen_when_low(t *testing.T) {
	var b buffer
	s := testScreen(&b, func() (int, int) { return 40, 3 })
	s.paint([]string{"1", "2", "3", "4"})
	if got := strings.Count(b.String(), "\n"); got != 2 {
		t.Errorf("%d lines on a terminal of 3", got)
	}
}

// onTerminal runs a command line on a pseudo-terminal of the given size; input
// is typed as soon as prompt is shown.
func onTerminal(t *testing.T, r *try, size pty.Winsize, prompt, input string) (string, int) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &size); err != nil {
		t.Fatal(err)
	}
	r.p.In, r.p.Out, r.p.Err = slave, slave, slave
	all := &r.err
	read := make(chan struct{})
	go func() {
		defer close(read)
		chunk := make([]byte, 4096)
		typed := false
		for {
			n, err := master.Read(chunk)
			all.Write(chunk[:n])
			if !typed && prompt != "" && strings.Contains(all.String(), prompt) {
				typed = true
				io.WriteString(master, input)
			}
			if err != nil {
				return
			}
		}
	}()
	code := Main(r.p, testRegistry, r.engine)
	slave.Close()
	<-read
	if strings.Contains(all.String(), canary) {
		t.Errorf("the terminal shows the secret:\n%q", all.String())
	}
	return all.String(), code
}

func TestTerminal_when_a_job_runs(t *testing.T) {
	for _, size := range []pty.Winsize{{Rows: 24, Cols: 80}, {Rows: 50, Cols: 200}, {Rows: 5, Cols: 30}} {
		r := newTry(t, "run", "job.yaml")
		r.engine.run = func(ctx context.Context, s *job.Spec, o Options) (watch.Outcome, error) {
			o.Watch.Phase(watch.Snapshot)
			o.Watch.TablePlanned("shop.表格"+strings.Repeat("x", 50), 1000, 1000, 10)
			o.Watch.ChunkStarted("shop.表格" + strings.Repeat("x", 50))
			for i := range 8 {
				o.Watch.Rows("shop.表格"+strings.Repeat("x", 50), 10, 100)
				o.Log.Info(fmt.Sprintf("log line %d", i))
				shown := strings.Count(r.err.String(), "shop-to-lake")
				r.err.await(func(s string) bool { return strings.Count(s, "shop-to-lake") > shown }) // the next frame
			}
			return moves(ctx, s, o)
		}
		out, code := onTerminal(t, r, size, "", "")
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		g := &glass{width: int(size.Cols)}
		g.write(out)
		shown := g.text()
		if strings.Count(shown, "log line") != 8 || !strings.Contains(shown, "a line for people") {
			t.Errorf("%v: log lines are gone or doubled:\n%s", size, shown)
		}
		if strings.Contains(shown, "brake") || strings.Contains(shown, "running 0:00") {
			t.Errorf("%v: the block is left behind:\n%s", size, shown)
		}
		if !strings.Contains(out, "running 0:00") && size.Cols >= 80 || !strings.Contains(out, "\x1b[32mdone\x1b[0m") {
			t.Errorf("%v: no block, or no colour:\n%q", size, out)
		}
	}
}

func TestTerminal_when_it_asks(t *testing.T) {
	for typed, code := range map[string]int{"shop-to-lake\n": 0, "y\n": 2, "\n": 2, "\x04": 2} {
		r := newTry(t, "run", "job.yaml", "--again")
		ran := false
		r.engine.run = func(context.Context, *job.Spec, Options) (watch.Outcome, error) {
			ran = true
			return watch.Outcome{}, nil
		}
		out, got := onTerminal(t, r, pty.Winsize{Rows: 24, Cols: 100}, "to go on:", typed)
		if got != code || ran != (code == 0) {
			t.Errorf("typed %q: exit code %d, ran %v\n%s", typed, got, ran, out)
		}
	}
}

func TestTerminal_when_it_must_be_plain(t *testing.T) {
	for _, env := range []string{"TERM=dumb", "GODWIT_ACCESSIBLE=1", "ACCESSIBLE=1"} {
		r := newTry(t, "run", "job.yaml", "--color", "never")
		r.p.Env = append(r.p.Env, env)
		r.engine.run = moves
		out, _ := onTerminal(t, r, pty.Winsize{Rows: 24, Cols: 200}, "", "")
		if strings.Contains(out, "\x1b") || !strings.Contains(out, "phase=done") {
			t.Errorf("%s: %q", env, out)
		}
	}
}

func TestProcess_when_it_began(t *testing.T) {
	now := time.Now()
	if d := now.Sub(processStart(now)); d < 0 || d > time.Hour {
		t.Errorf("this process is %v old", d)
	}
	if n := watch.Resident(); n < 1<<20 && fileExists("/proc/self/statm") {
		t.Errorf("resident %d bytes", n)
	}
}

func fileExists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
