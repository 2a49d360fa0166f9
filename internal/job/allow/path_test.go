package allow_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/connector/all"
	"godwit/internal/fault"
	"godwit/internal/job/allow"
	"godwit/internal/option"
	"godwit/internal/store"
)

// local and byURL are the two ways to name a folder.
func local(path string) string { return fileJob("{local: {path: " + quoted(path) + "}}") }

func byURL(path string) string {
	return fileJob("{url: " + quoted((&url.URL{Scheme: "file", Path: path}).String()) + "}")
}

func TestCheck_when_paths_stay_inside(t *testing.T) {
	w := newWorld(t)
	w.link(t, "in", "data/to_in")
	w.link(t, w.at("data/in"), "data/to_in_absolute")
	w.link(t, "../../data/in", "data/in/round")
	w.link(t, "nothing/yet", "data/dangling")
	for _, p := range []string{"data/in", "data/store", "data/new/folder/of/many", "data/to_in", "data/to_in_absolute/new", "data/in/round/round", "data/dangling", "data//in/", "data/..."} {
		for _, text := range []string{local(w.dir + "/" + p), byURL(w.dir + "/" + p)} {
			if _, err := submit(w.rules, text, option.Resolver{}); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
	}
	w.rules.Data = append(w.rules.Data, w.at("outside")+"/")
	mustSubmit(t, w.rules, local(w.at("outside"))) // a folder itself, and a second one
	w.link(t, "../outside/there", "data/to_second")
	mustSubmit(t, w.rules, local(w.at("data/to_second")))
}

func TestCheck_when_the_folder_allowed_is_a_link(t *testing.T) {
	w := newWorld(t)
	w.link(t, "data", "current")
	w.rules.Data = []string{w.at("current")}
	mustSubmit(t, w.rules, local(w.at("current/in")))
	w.link(t, w.at("current/in"), "data/by_its_name")
	mustSubmit(t, w.rules, local(w.at("current/by_its_name")))
	must(t, os.Remove(w.at("current")))
	w.link(t, "outside", "current") // what it leads to now is what counts
	mustSubmit(t, w.rules, local(w.at("current/there")))
	if _, err := submit(w.rules, local(w.at("data/in")), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
		t.Errorf("where it led before: %v", err)
	}
}

func TestCheck_when_paths_lead_out(t *testing.T) {
	w := newWorld(t)
	w.link(t, "../outside", "data/out")
	w.link(t, w.at("outside/there"), "data/out_absolute")
	w.link(t, "..", "data/up")
	w.link(t, "/", "data/root")
	w.link(t, "in/../../outside/new", "data/dangling_out")
	w.link(t, "out", "data/out_by_two")
	w.link(t, "loop", "data/loop")
	w.link(t, "state", "data/to_state")
	w.link(t, "/proc/self/root", "data/magic")
	w.link(t, "data/in", "side") // leads in, but nobody allowed the link
	for _, p := range []string{
		"outside", "outside/there", "data-like", "dat", "", "data/out", "data/out/there", "data/out/new", "data/out_absolute", "data/up", "data/up/outside",
		"data/up/data/in/../../outside", "data/root", "data/root/etc", "data/dangling_out", "data/out_by_two", "data/loop", "data/magic" + w.dir + "/outside", "side",
		"data/state", "data/state/a-job", "data/to_state", "data/keys", "data", // which holds state and keys
		"secrets",
	} {
		for _, text := range []string{local(w.at(p)), byURL(w.at(p))} {
			_, err := submit(w.rules, text, option.Resolver{})
			if !fault.Has(err, fault.NotAllowed) || fault.Of(err).Where != "job.yaml:3:"+fmt.Sprint(1+strings.Index(strings.Split(text, "\n")[2], `"`)) {
				t.Errorf("%q: %v", p, err)
			}
		}
	}
}

func TestCheck_when_a_path_is_no_plain_one(t *testing.T) {
	w := newWorld(t)
	in := w.at("data/in")
	for _, text := range []string{
		local(w.dir + "/data/../outside"), local(in + "/../../outside"), local(in + "/."), local("data/in"), local("./data"), local("~"), local("~/x"), local("~root/x"), local(in + "\x00/../../outside"), local(""),
		fileJob(`{url: "file://` + w.dir + `/data/../outside"}`), fileJob(`{url: "file://` + w.dir + `/data/%2e%2e/outside"}`), fileJob(`{url: "file://` + w.dir + `/data%2f..%2foutside"}`),
		fileJob(`{url: "file://host` + in + `"}`), fileJob(`{url: "file://~` + in + `"}`), fileJob(`{url: "file:` + in + `/../../outside"}`), fileJob(`{url: "file:data/in"}`), fileJob(`{url: "file://` + in + `%00/x"}`),
		fileJob(`{url: "FILE://` + w.at("outside") + `"}`), fileJob(`{url: "file://LOCALHOST` + w.at("outside") + `"}`),
		tableJob(`socket: data/in/file`), tableJob(`socket: "@abstract"`), tableJob("socket: " + in + "/../../outside/file"), tableJob("address: h, tls: {ca: ~/ca.pem}"), tableJob("address: h, tls: {ca: ./ca.pem}"),
		local(in) + "list: {file: wanted.txt}\n", local(in) + "list: {file: ../outside/file}\n", local(in) + "list: {file: " + in + "/../../outside/file}\n",
	} {
		if _, err := submit(w.rules, text, option.Resolver{}); err == nil {
			t.Errorf("taken:\n%s", text)
		}
	}
	// Cleaned as a text it would be data/outside; the kernel goes through the link first.
	w.rules.Data = append(w.rules.Data, w.at("data-like"))
	w.link(t, "../data-like", "data/jump")
	mustSubmit(t, w.rules, tableJob("socket: "+w.at("data/jump")))
	if _, err := submit(w.rules, tableJob("socket: "+w.at("data/jump")+"/../outside"), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
		t.Errorf("through a link and up: %v", err)
	}
	// Decoded once: what is left of a second layer is a name like any other.
	mustSubmit(t, w.rules, fileJob(`{url: "file://`+in+`/%252e%252e/%252fetc"}`))
}

func TestCheck_when_other_options_are_paths(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ text, path, option string }{
		{"socket: %s", "data/in/file", "source.mysql.socket"}, {"address: h, tls: {ca: %s}", "secrets/pw", "source.mysql.tls.ca"},
		{"address: h, tls: {cert: %s}", "data/keys/pw", "source.mysql.tls.cert"}, {"address: h, tls: {key: %s}", "data/in/file", "source.mysql.tls.key"},
	} {
		mustSubmit(t, w.rules, tableJob(fmt.Sprintf(c.text, w.at(c.path))))
		_, err := submit(w.rules, tableJob(fmt.Sprintf(c.text, w.at("outside/file"))), option.Resolver{})
		if !fault.Has(err, fault.NotAllowed) || !strings.HasPrefix(fault.Of(err).What, c.option+": ") {
			t.Errorf("%s: %v", c.option, err)
		}
	}
	if _, err := submit(w.rules, tableJob("socket: "+w.at("secrets/pw")), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
		t.Errorf("a socket among secrets: %v", err)
	}
	in := local(w.at("data/in"))
	mustSubmit(t, w.rules, in+"list: {file: "+w.at("data/in/file")+"}\n")
	s3 := fileJob("{s3: {bucket: media, credentials: anonymous, tls: {ca: " + w.at("outside/file") + "}}}")
	for _, text := range []string{in + "list: {file: " + w.at("secrets/pw") + "}\n", s3} {
		if _, err := submit(w.rules, text, option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestCheck_when_everything_is_data(t *testing.T) {
	w := newWorld(t)
	w.rules.Data, w.rules.Secrets = []string{"/"}, nil
	w.link(t, "/proc/self", "data/in/process")
	mustSubmit(t, w.rules, local(w.at("outside")))
	for _, p := range []string{"/proc", "/proc/self/root/etc", "/dev/shm", "/sys/kernel", w.at("data/state"), w.at("data"), w.dir, w.at("data/in/process/root") + w.at("outside")} {
		if _, err := submit(w.rules, local(p), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
			t.Errorf("%s: %v", p, err)
		}
	}
	for _, p := range []string{"/proc/self/environ", "/dev/stdin"} {
		if _, err := submit(w.rules, tableJob("address: h, tls: {ca: "+p+"}"), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := submit(w.rules, local("/"), option.Resolver{}); !fault.Has(err, fault.NotAllowed) {
		t.Errorf("/: %v", err)
	}
}

func TestCheck_when_links_are_followed_outside(t *testing.T) {
	w := newWorld(t)
	w.rules.Ambient = true
	for _, links := range []string{"skip", "follow"} {
		mustSubmit(t, w.rules, fileJob("{local: {path: "+w.at("data/in")+", links: "+links+"}}"))
	}
	_, err := submit(w.rules, fileJob("{local: {path: "+w.at("data/in")+", links: follow_outside}}"), option.Resolver{})
	if !fault.Has(err, fault.NotAllowed) || !strings.HasPrefix(fault.Of(err).What, "source.local.links: ") {
		t.Error(err)
	}
}

// A refusal reads the same whether something is there or not, and what it is.
func TestCheck_when_somebody_probes_for_files(t *testing.T) {
	w := newWorld(t)
	w.link(t, "../outside", "data/out")
	w.link(t, w.at("data/in"), "outside/back")
	for _, folder := range []string{"outside/", "data/out/"} {
		says := map[string]bool{}
		for _, p := range []string{"there", "file", "none", "file/below", "there/below", "back", "back/file"} {
			_, err := submit(w.rules, local(w.at(folder+p)), option.Resolver{})
			if err == nil {
				t.Fatalf("%s%s is taken", folder, p)
			}
			says[strings.ReplaceAll(fmt.Sprintf("%v %s", err, fault.Of(err).Hint), w.at(folder+p), "PATH")] = true
		}
		if len(says) != 1 {
			t.Errorf("%s: %v", folder, says)
		}
	}
}

// What is judged again is judged by what is there now, and a store that is open
// stays where it was.
func TestCheck_when_a_folder_is_swapped_later(t *testing.T) {
	w := newWorld(t)
	s := mustSubmit(t, w.rules, local(w.at("data/store")))
	st, err := all.Stores().Open(t.Context(), s.Files.Source, store.Env{})
	must(t, err)
	must(t, os.Rename(w.at("data/store"), w.at("data/moved")))
	w.link(t, "../outside", "data/store")
	if err := w.rules.Check(s); !fault.Has(err, fault.NotAllowed) {
		t.Errorf("checked again: %v", err)
	}
	if _, _, err := st.Open(t.Context(), "file", store.Read{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a store that is open reads elsewhere: %v", err)
	}
	must(t, st.Close())
}

// No path that is accepted leads out, as the kernel sees it.
func TestCheck_when_trees_are_random(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	n, taken := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		w := world{dir: filepath.Join(base, fmt.Sprint(n))}
		folders := []string{"data", "data/a", "data/a/b", "data/state", "out", "out/a", "data-b"}
		for _, d := range folders {
			if err := os.MkdirAll(w.at(d), 0o755); err != nil {
				rt.Fatal(err)
			}
		}
		part := rapid.SampledFrom([]string{"a", "b", "c", "..", ".", "data", "state", "out", "l0", "l1", "l2", "l3", ""})
		way := rapid.Custom(func(rt *rapid.T) string { return strings.Join(rapid.SliceOfN(part, 1, 5).Draw(rt, "parts"), "/") })
		for i := range 4 {
			target := way.Draw(rt, "target")
			if rapid.Bool().Draw(rt, "absolute") {
				target = w.dir + "/" + target
			}
			if target != "" {
				_ = os.Symlink(target, w.at(rapid.SampledFrom(folders).Draw(rt, "in")+fmt.Sprintf("/l%d", i)))
			}
		}
		rules := allow.Rules{Data: []string{w.at("data")}, Closed: []string{w.at("data/state")}}
		p := w.dir + "/data/" + way.Draw(rt, "path")
		if _, err := submit(rules, local(p), option.Resolver{}); err != nil {
			return
		}
		taken++
		if real := reached(p); real != w.at("data") && !strings.HasPrefix(real, w.at("data")+"/") || strings.HasPrefix(real+"/", w.at("data/state")+"/") {
			rt.Fatalf("%s is accepted and leads to %s", p, real)
		}
	})
	if taken == 0 {
		t.Error("no path was accepted: nothing was tested")
	}
}

// reached makes what path names and asks the kernel where it is.
func reached(path string) string {
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		_ = f.Close()
	} else if os.MkdirAll(path, 0o755) != nil {
		return reached(filepath.Dir(path)) // nobody can get there
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err.Error()
	}
	return real
}
