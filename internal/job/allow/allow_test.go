package allow_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/connector/all"
	"godwit/internal/fault"
	"godwit/internal/job/allow"
	"godwit/internal/option"
	"godwit/internal/store"
)

// variables is an environment; unread fails the test when a file is asked for.
func variables(t *testing.T) option.Resolver {
	set := map[string]string{"SHOP": "hidden-shop", "TRAP": "${file:/etc/passwd}${env:AWS_SECRET_ACCESS_KEY}", "AWS_SECRET_ACCESS_KEY": "hidden-aws", "SHOP2": "hidden-2"}
	return option.Resolver{
		Env: func(n string) (string, bool) { v, ok := set[n]; return v, ok },
		File: func(path string) ([]byte, error) {
			t.Errorf("%s was read past the rules", path)
			return nil, os.ErrNotExist
		},
	}
}

func password(ref string) string { return tableJob("address: h, password: " + quoted(ref)) }

func TestResolver_when_variables_are_named(t *testing.T) {
	rules := allow.Rules{Env: []string{"SHOP", "TRAP", "UNSET"}}
	for ref, want := range map[string]string{
		"${env:SHOP}": "hidden-shop", "a${env:SHOP}b": "ahidden-shopb", "$${env:SHOP2}": "${env:SHOP2}", "$${file:/etc/passwd}": "${file:/etc/passwd}",
		"$$${env:SHOP}": "$${env:SHOP}", // two signs: the second one belongs to ${
		"${env:TRAP}":   "${file:/etc/passwd}${env:AWS_SECRET_ACCESS_KEY}",
	} {
		s, err := submit(rules, password(ref), variables(t))
		if err != nil || s.Source.Values.Secret("password").Reveal() != want {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{
		"${env:SHOP2}", "${env:shop}", "${env:SHO}", "${env:SHOP_}", "${env:_SHOP}", "${env:AWS_SECRET_ACCESS_KEY}", "${env:HOME}", "${env:SHOP} ${env:SHOP2}",
	} {
		_, err := submit(rules, password(ref), variables(t))
		if !fault.Has(err, fault.NotAllowed) || strings.Contains(err.Error(), "hidden") || !strings.Contains(fault.Of(err).Hint, "--allow-env") || fault.Of(err).Where == "" {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"${env: SHOP}", "${env:SHOP }", "${ENV:SHOP2}", "${env:SHOP2${env:SHOP}}", "${env:${env:TRAP}}", "${env:SHOP=}", "${env:}", "${env:SHOP", "${exec:id}", "${env:SH\u041eP}", "${env:UNSET}"} {
		if _, err := submit(rules, password(ref), variables(t)); !fault.Has(err, fault.JobSecret) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestResolver_when_somebody_probes_for_variables(t *testing.T) {
	says := map[string]bool{}
	for _, name := range []string{"SHOP2", "NOT_SET_AT_ALL"} {
		_, err := submit(allow.Rules{}, password("${env:"+name+"}"), variables(t))
		says[strings.ReplaceAll(fmt.Sprintf("%v %s", err, fault.Of(err).Hint), name, "NAME")] = true
	}
	if len(says) != 1 {
		t.Error(says)
	}
}

func TestResolver_when_all_variables_are_allowed_or_nothing_is_given(t *testing.T) {
	if _, err := submit(allow.Rules{AllEnv: true}, password("${env:SHOP2}"), variables(t)); err != nil {
		t.Error(err)
	}
	w := newWorld(t)
	for _, ref := range []string{"${env:SHOP}", "${file:" + w.at("secrets/pw") + "}"} {
		if _, err := submit(allow.Rules{AllEnv: true, Secrets: w.rules.Secrets}, password(ref), option.Resolver{}); !fault.Has(err, fault.JobSecret) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestResolver_when_files_are_named(t *testing.T) {
	w := newWorld(t)
	w.link(t, "pw", "secrets/to_pw")
	w.link(t, w.at("data/keys/pw"), "secrets/to_keys")
	for _, name := range []string{"secrets/pw", "data/keys/pw", "secrets/to_pw", "secrets/to_keys"} {
		s, err := submit(w.rules, password("${file:"+w.at(name)+"}"), variables(t))
		if err != nil || !strings.HasPrefix(s.Source.Values.Secret("password").Reveal(), "hidden-") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.link(t, "../outside", "secrets/out")
	w.link(t, "../data/state/serve.json", "secrets/server")
	for _, path := range []string{
		w.at("outside/file"), w.at("outside/none"), w.at("secrets-like/pw"), w.dir + "/secrets/../outside/file", w.at("secrets/out/file"), w.at("secrets/out/none"), w.at("secrets/server"),
		w.at("data/in/file"), w.at("data/state/serve.json"), "/proc/self/environ", "/dev/stdin", "secrets/pw", "pw", "./pw", "../outside/file", "~/pw", "~", w.at("secrets/pw") + "\x00", "file://" + w.at("secrets/pw"),
	} {
		_, err := submit(w.rules, password("${file:"+path+"}"), variables(t))
		if !fault.Has(err, fault.NotAllowed) || strings.Contains(err.Error(), "hidden") || fault.Of(err).Where == "" {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestResolver_when_a_secret_is_no_file(t *testing.T) {
	w := newWorld(t)
	must(t, syscall.Mkfifo(w.at("secrets/pipe"), 0o600))
	for name, says := range map[string]string{"pipe": "it is not a file", "": "it is not a file", "none": "no such file"} {
		if _, err := submit(w.rules, password("${file:"+w.at("secrets")+"/"+name+"}"), variables(t)); !fault.Has(err, fault.JobSecret) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whoever may write among the secrets, but not read what the server may, turns a file
// into a link at the right moment.
func TestResolver_when_a_file_is_swapped_meanwhile(t *testing.T) {
	w := newWorld(t)
	w.write(t, "secrets/file", "hidden-inside")
	w.link(t, "../outside/file", "secrets/link")
	must(t, os.Link(w.at("secrets/file"), w.at("secrets/now")))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			next := w.at(fmt.Sprint("secrets/next", i%2))
			if i%2 == 0 {
				_ = os.Link(w.at("secrets/file"), next)
			} else {
				_ = os.Symlink("../outside/file", next)
			}
			_ = os.Rename(next, w.at("secrets/now"))
			_ = os.Remove(next) // a rename between two names of one file does nothing
		}
	}()
	read := w.rules.Resolver(variables(t)).File
	answers := map[string]int{}
	for range 3000 {
		text, err := read(w.at("secrets/now"))
		switch {
		case strings.Contains(string(text), "outside"):
			t.Error("what lies outside was read")
		case err == nil:
			answers["inside"]++
		case fault.Has(err, fault.NotAllowed):
			answers["refused"]++
		default:
			answers["caught at the last moment"]++
		}
	}
	close(stop)
	<-ended
	t.Log(answers)
}

func TestCheck_when_keys_are_the_machines(t *testing.T) {
	machines := []string{
		"{s3: {bucket: media}}", "{url: \"s3://media/x\"}", "{s3: {bucket: media, profile: backup}}", "{s3: {bucket: media, role_arn: r}}",
		"{s3: {bucket: media, credentials: env}}", "{s3: {bucket: media, credentials: shared}}", "{s3: {bucket: media, credentials: instance}}", "{s3: {bucket: media, credentials: web_identity}}",
		"{s3: {bucket: media, credentials: env, access_key: a, secret_key: b}}",
	}
	for _, source := range machines {
		_, err := submit(allow.Rules{}, fileJob(source), option.Resolver{})
		if !fault.Has(err, fault.NotAllowed) || !strings.Contains(fault.Of(err).Hint, "--allow-ambient") || !strings.HasPrefix(fault.Of(err).Where, "job.yaml:3:") {
			t.Errorf("%s: %v", source, err)
		}
		mustSubmit(t, allow.Rules{Ambient: true}, fileJob(source))
	}
	for _, source := range []string{"{s3: {bucket: media, access_key: a, secret_key: b}}", "{s3: {bucket: media, credentials: static, access_key: a, secret_key: b}}", "{s3: {bucket: media, credentials: anonymous}}"} {
		mustSubmit(t, allow.Rules{}, fileJob(source))
	}
	sink := "name: a\nsource: {mysql: {user: u, address: h}}\ntables: [a.b]\nsinks: [{name: l, files: {url: \"s3://lake/\"}}]\n"
	if _, err := submit(allow.Rules{}, sink, option.Resolver{}); !fault.Has(err, fault.NotAllowed) || !strings.HasPrefix(fault.Of(err).What, "sinks[0].files.url: ") {
		t.Errorf("a sink: %v", err)
	}
}

func TestGetenv_when_nothing_of_the_machine_is_allowed(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "hidden-id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden-key")
	s := mustSubmit(t, allow.Rules{Ambient: true}, fileJob("{url: \"s3://media/x\"}"))
	_, err := all.Stores().Open(t.Context(), s.Files.Source, store.Env{Getenv: allow.Rules{}.Getenv(os.LookupEnv)})
	if !fault.Has(err, fault.JobMissing) {
		t.Error(err)
	}
	if v, _ := (allow.Rules{Ambient: true}).Getenv(os.LookupEnv)("AWS_ACCESS_KEY_ID"); v != "hidden-id" {
		t.Error("allowed, and not given")
	}
}

func TestCheck_when_a_secret_stands_for_a_path(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{local("/${file:" + w.at("secrets/pw") + "}"), fileJob("{url: \"file:///${file:" + w.at("secrets/pw") + "}\"}"), tableJob("socket: \"/${file:" + w.at("secrets/pw") + "}\"")} {
		_, err := submit(w.rules, text, variables(t))
		if !fault.Has(err, fault.NotAllowed) || strings.Contains(err.Error()+fault.Of(err).Hint, "hidden") || !strings.Contains(err.Error(), "${file:") {
			t.Errorf("%v", err)
		}
	}
}

func TestCheck_when_several_options_are_refused(t *testing.T) {
	_, err := submit(allow.Rules{}, tableJob("address: h, tls: {ca: /a, cert: /b, key: /c}"), option.Resolver{})
	if !fault.Has(err, fault.NotAllowed) || !strings.Contains(err.Error(), "(and 2 more problems)") {
		t.Error(err)
	}
}

func TestValid_when_rules_are_wrong(t *testing.T) {
	w := newWorld(t)
	must(t, w.rules.Valid())
	must(t, (allow.Rules{Data: []string{"/"}, Env: []string{"A_b1"}}).Valid())
	w.link(t, "data/state", "to_state")
	for says, r := range map[string]allow.Rules{
		"--allow-env":      {Env: []string{"A B"}},
		"absolute":         {Data: []string{"data"}},
		"no such file":     {Secrets: []string{w.at("none")}},
		"not a folder":     {Secrets: []string{w.at("secrets/pw")}},
		"closed to jobs":   {Data: []string{w.at("data/state")}, Closed: w.rules.Closed},
		"to_state":         {Data: []string{w.at("to_state")}, Closed: w.rules.Closed},
		"--data \"/proc/":  {Data: []string{"/proc/self"}},
		"--secrets \"/dev": {Secrets: []string{"/dev"}},
		"--data \"":        {Data: []string{w.at("secrets")}, Secrets: []string{w.at("secrets")}},
	} {
		if err := r.Valid(); !fault.Has(err, fault.Usage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	relative := allow.Rules{Data: w.rules.Data, Closed: []string{"state"}}
	if _, err := submit(relative, local(w.at("data/in")), option.Resolver{}); relative.Valid() == nil || !fault.Has(err, fault.NotAllowed) {
		t.Errorf("a closed folder that nobody can find: %v", err)
	}
}
