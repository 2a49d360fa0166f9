package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/test/servers/mariadb"
)

// departments are those of examples/folders.csv.
var departments = []string{"legal", "sales", "design"}

// TestTemplate_when_the_server_is_killed makes the jobs of examples/folders.yaml, edits
// the template again and again and kills the server meanwhile. What was promised is
// rolled out at the next start; the job that refuses it goes on as it was; and all
// folders are copied in the end.
func TestTemplate_when_the_server_is_killed(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 5))
	dir := t.TempDir()
	s := &served{t: t, r: r, w: &world{server: &mariadb.Server{}}, state: filepath.Join(dir, "state"), data: []string{dir}}
	text, values := folders(t, dir)
	jobs := map[string]*fileJob{}
	for _, d := range departments {
		jobs[d] = &fileJob{t, filepath.Join(dir, "jobs", d)}
		if err := os.MkdirAll(jobs[d].dir, 0o755); err != nil {
			t.Fatal(err)
		}
		jobs[d].fill(r, 30)
	}
	s.start()
	s.ask("template", "submit", text(""))
	s.ask("job", "submit", "--template", "folders", "--values", values, "--yes")
	if said := s.ask("job", "submit", "--template", "folders", "--values", values, "--yes"); !strings.Contains(said, "all of them live already") {
		t.Error(said)
	}
	version, unanswered, aim := int64(1), 0, 30*time.Millisecond
	for round := range 14 {
		before := version
		edit := start(t, "", "template", "edit", "folders", text(fmt.Sprintf("limits:\n  requests: ${param:pace}\noverwrite: %s\n# round %d\n", []string{"if_newer", "if_different"}[round%2], round)), "--yes", "--json", "--state", s.state)
		if round > 0 {
			<-time.After(aim + time.Duration(r.Int64N(int64(aim/8))))
			s.p.kill()
		}
		told := edit.wait(time.Minute)
		if round > 0 {
			s.start()
		}
		at, _ := s.template(t)
		if at < before || at > before+1 || told == 4 && at != before+1 {
			t.Fatalf("round %d: version %d after %d; the edit ended with %d\n%s", round, at, before, told, clip(edit.said()))
		}
		switch { // kills come nearer to the middle of a roll-out
		case told == 4:
			aim = aim * 7 / 8
		case at == before:
			aim = aim * 8 / 7
		default:
			unanswered++
		}
		version = at
		s.rolledOut(t, version)
	}
	t.Logf("version %d; %d were kept and not answered", version, unanswered)
	s.rollback(t, version)
	for d, j := range jobs {
		j.put("in/last", []byte(d))
		for end := time.After(time.Minute); string(tree(t, j.path("out"))["last"]) != d; {
			select {
			case <-end:
				t.Fatalf("%s is not copied any more\n%s", d, clip(s.p.said()))
			case <-time.After(50 * time.Millisecond):
			}
		}
		j.equal(true)
	}
	s.p.kill()
}

// folders writes the example for folders of a test. text writes the template with more
// lines and returns its path.
func folders(t *testing.T, dir string) (text func(more string) string, values string) {
	t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile("../../examples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	template := strings.NewReplacer("/data/${param:dept}", dir+"/jobs/${param:dept}/in", "/archive/${param:dept}", dir+"/jobs/${param:dept}/out", "default: 1h", "default: 1s",
		"name: folder-", "  - {name: pace, default: 100}\nname: folder-").Replace(read("folders.yaml"))
	csv := strings.NewReplacer("hands\n", "hands,pace\n", "legal,,\n", "legal,,,\n", "15m,\n", "1s,,fast\n", "5m,16\n", "1s,16,200\n").Replace(read("folders.csv"))
	n := 0
	return func(more string) string {
		n++
		return write(fmt.Sprintf("folders-%d.yaml", n), template+more)
	}, write("folders.csv", csv)
}

// template tells the version of the template, and how many jobs are behind it.
func (s *served) template(t *testing.T) (version int64, behind int) {
	t.Helper()
	said := s.ask("template", "show", "folders", "--json")
	var line struct {
		Version int64
		Behind  int
	}
	if err := json.Unmarshal([]byte(strings.SplitN(said, "\n", 2)[0]), &line); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return line.Version, line.Behind
}

// rolledOut waits until every job has a version of the template, but for the one that
// refuses it.
func (s *served) rolledOut(t *testing.T, version int64) {
	t.Helper()
	for end := time.After(30 * time.Second); ; {
		said := s.ask("template", "jobs", "folders")
		odd, well := "", 0
		for line := range strings.Lines(said) {
			cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
			switch {
			case cells[0] == "folder-sales":
				odd = cells[2] + " " + cells[4]
			case cells[2] == fmt.Sprint(version) && cells[4] == "":
				well++
			}
		}
		if well == 2 && (version == 1 || strings.HasPrefix(odd, "1 behind: JOB_VALUE: limits.requests: expected a whole number")) {
			return
		}
		select {
		case <-end:
			t.Fatalf("version %d is not rolled out:\n%s\n%s", version, said, clip(s.p.said()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// rollback takes all of it back: then the odd one is not behind any more.
func (s *served) rollback(t *testing.T, version int64) {
	t.Helper()
	s.ask("template", "rollback", "folders", "1", "--yes")
	if at, behind := s.template(t); at != version+1 || behind != 0 {
		t.Errorf("version %d, %d behind", at, behind)
	}
	code, said := run(t, "", "template", "delete", "folders", "--confirm", "--state", s.state)
	want(t, code, said, 2, "NOT_NOW", "3 jobs are made from template folders")
}
