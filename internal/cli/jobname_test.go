package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/job"
	"godwit/internal/watch"
)

func TestStatus_when_the_job_is_named(t *testing.T) {
	report := watch.StatusReport{Jobs: []watch.JobStatus{{Job: "lake", State: "finished", Run: 2}, {Job: "shop-to-lake", State: "failed", Run: 3}}}
	ask := func(args ...string) *try {
		r := newTry(t, args...)
		r.engine.status = func(s *job.Spec) (watch.StatusReport, error) {
			if s != nil {
				t.Errorf("%v: a job file was read", args)
			}
			return report, nil
		}
		return r
	}
	r := ask("status", "shop-to-lake")
	r.want(0, "shop-to-lake\tfailed\t3\t", "")
	if strings.Contains(r.out.String(), "finished") {
		t.Error("the other job is shown")
	}
	r = ask("status", "shop-to-lake", "--json")
	r.want(0, `"job":"shop-to-lake"`, "")
	for _, l := range lines(t, r.out.String()) {
		validate(t, l)
	}
	ask("status", "shop-to-lak").want(2, "", `did you mean "shop-to-lake"? known: lake, shop-to-lake`)
	none := newTry(t, "status", "lake")
	none.engine.status = func(*job.Spec) (watch.StatusReport, error) { return watch.StatusReport{}, nil }
	none.want(2, "", "give the path of a job file")
	flag := newTry(t, "run", "job.yaml", "--agian")
	flag.want(2, "", `did you mean "--again"? known: --again, --color, --confirm, --dry-run, --help, --json, --memory, --no-input, --parallel,`)
	newTry(t, "status", "missing.yaml").want(2, "", "the job file cannot be read")
}

// TestJobFile_when_a_name_is_a_folder says that a folder of the name of a job hides it not,
// and that words which are neither are met by the names that are known.
func TestJobFile_when_a_name_is_a_folder(t *testing.T) {
	r := newTry(t, "status", "lake")
	t.Chdir(r.dir)
	if err := os.Mkdir("lake", 0o700); err != nil {
		t.Fatal(err)
	}
	r.engine.status = func(*job.Spec) (watch.StatusReport, error) {
		return watch.StatusReport{Jobs: []watch.JobStatus{{Job: "lake", State: "finished", Run: 2}}}, nil
	}
	r.want(0, "lake\tfinished\t2\t", "")
	state := t.TempDir()
	if err := os.Mkdir(filepath.Join(state, "media-move"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"report", "retry", "run", "check"} {
		newTry(t, command, "media-mov", "--state", state).want(2, "", `there is no job file "media-mov", and no job of that name has run with this state folder`+
			"\n  where  "+pad(state, 34)+" class  user (not retried)\n  hint   did you mean \"media-move\"? known: media-move")
		newTry(t, command, "lake", "--state", filepath.Join(state, "none")).want(2, "", "give the path of a job file")
	}
}

func TestCompletion_when_jobs_have_run(t *testing.T) {
	state := t.TempDir()
	for _, name := range []string{"lake", "shop-to-lake", "shop-to-pg"} {
		if err := os.Mkdir(filepath.Join(state, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "shop.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--state", state, "shop"}, "shop-to-lake\nshop-to-pg\n:0\n"},
		{[]string{"status", "--state", state, "--json", ""}, "lake\nshop-to-lake\nshop-to-pg\n:0\n"},
		{[]string{"status", "--state", state, "lake", ""}, ":0\n"},
		{[]string{"status", "--state", filepath.Join(state, "none"), ""}, ":0\n"},
		{[]string{"run", "--state", state, ""}, "yaml\nyml\n:8\n"},
	} {
		r := newTry(t, append([]string{"__complete"}, c.args...)...)
		if code := r.main(); code != 0 || r.out.String() != c.want {
			t.Errorf("%v: %d %q, want %q", c.args, code, r.out.String(), c.want)
		}
	}
}
