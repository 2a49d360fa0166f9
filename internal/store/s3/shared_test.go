package s3

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

// home makes the two files of the AWS command line; empty: there is none.
func home(t *testing.T, w *keyWorld, keys, config string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"credentials": keys, "config": config} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, ".aws", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	maps.Copy(w.env, map[string]string{"HOME": dir})
}

const sharedKeys = "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = " + baseSecret + "\n"

func TestShared_when_keys_stand_in_either_file(t *testing.T) {
	for name, c := range map[string]struct{ keys, config, profile, want string }{
		"credentials": {keys: sharedKeys, profile: "base", want: "AKIABASE"},
		"config":      {config: "[profile base]\naws_access_key_id = AKIACONF\naws_secret_access_key = " + baseSecret + "\n", profile: "base", want: "AKIACONF"},
		"default":     {config: "[default]\naws_access_key_id = AKIADEF\naws_secret_access_key = " + baseSecret + "\n", want: "AKIADEF"},
		"both":        {keys: sharedKeys, config: "[profile base]\naws_access_key_id = AKIACONF\naws_secret_access_key = x\nregion = eu-west-1\n", profile: "base", want: "AKIABASE"},
		"region only": {keys: sharedKeys, config: "[profile base]\nregion = eu-west-1\n", profile: "base", want: "AKIABASE"},
	} {
		w := newKeyWorld(t, rolesGiven)
		home(t, w, c.keys, c.config)
		w.given["profile"] = c.profile
		if by, asked := w.request(t, w.open(t)); by.key != c.want || len(asked) > 0 {
			t.Errorf("%s: signed by %v, %d questions", name, by, len(asked))
		}
	}
}

func TestShared_when_a_profile_is_a_role(t *testing.T) {
	const role = "role_arn = arn:aws:iam::123456789012:role/copy\n"
	w := newKeyWorld(t, rolesGiven)
	w.given["profile"] = "copy"
	home(t, w, sharedKeys, "[profile copy]\n"+role+"source_profile = base\nexternal_id = e-1\nrole_session_name = nightly\n")
	by, asked := w.request(t, w.open(t))
	if by != (signed{"ASIA1", roleToken + "-1"}) && by.key != "ASIA1" || len(asked) != 1 {
		t.Fatalf("signed by %v after %d questions", by, len(asked))
	}
	form := asked[0].Form
	if form.Get("RoleArn") != "arn:aws:iam::123456789012:role/copy" || form.Get("ExternalId") != "e-1" || form.Get("RoleSessionName") != "nightly" ||
		signatureOf(asked[0]).key != "AKIABASE" {
		t.Errorf("asked with %v, signed by %v", form, signatureOf(asked[0]))
	}
	// A role by a role.
	home(t, w, sharedKeys, "[profile copy]\n"+role+"source_profile = middle\n[profile middle]\nrole_arn = arn:aws:iam::123456789012:role/middle\nsource_profile = base\n")
	if by, asked := w.request(t, w.open(t)); by.key != "ASIA3" || len(asked) != 2 || signatureOf(asked[1]).key != "ASIA2" {
		t.Errorf("signed by %v after %d questions", by, len(asked))
	}
	// Its own keys, and those of the environment.
	home(t, w, "[copy]\naws_access_key_id = AKIAOWN\naws_secret_access_key = "+baseSecret+"\n"+role+"source_profile = copy\n", "")
	if _, asked := w.request(t, w.open(t)); len(asked) != 1 || signatureOf(asked[0]).key != "AKIAOWN" {
		t.Errorf("%d questions", len(asked))
	}
	home(t, w, "", "[profile copy]\n"+role+"credential_source = Environment\n")
	maps.Copy(w.env, map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": baseSecret})
	if _, asked := w.request(t, w.open(t)); len(asked) != 1 || signatureOf(asked[0]).key != "AKIAENV" {
		t.Errorf("%d questions", len(asked))
	}
}

func TestShared_when_a_role_cannot_be_had(t *testing.T) {
	const role = "role_arn = arn:aws:iam::123456789012:role/copy\n"
	for text, words := range map[string][]string{
		role:                              {"source_profile", "copy"},
		role + "source_profile = none\n":  {`section "profile none" does not exist`},
		role + "source_profile = other\n": {"circle", "copy → other → copy"},
		role + "credential_source = Moon": {"Moon", "Ec2InstanceMetadata"},
	} {
		w := newKeyWorld(t, rolesGiven)
		w.given["profile"] = "copy"
		home(t, w, sharedKeys, "[profile copy]\n"+text+"\n[profile other]\n"+role+"source_profile = copy\n")
		w.fails(t, w.open(t), fault.StoreAuth, words...)
	}
}

// The job file counts before the environment, and that before the profile; another
// service than Amazon's is none of the profile's business.
func TestSettings_when_a_profile_has_a_region(t *testing.T) {
	for name, c := range map[string]struct {
		given, env       map[string]string
		region, endpoint string
	}{
		"profile":          {nil, nil, "eu-west-1", "https://s3.eu-west-1.amazonaws.com"},
		"environment":      {nil, map[string]string{"AWS_REGION": "eu-north-1"}, "eu-north-1", "https://s3.eu-north-1.amazonaws.com"},
		"job file":         {map[string]string{"region": "eu-south-1"}, nil, "eu-south-1", "https://s3.eu-south-1.amazonaws.com"},
		"endpoint":         {map[string]string{"endpoint": "http://127.0.0.1:9000"}, nil, "us-east-1", "http://127.0.0.1:9000"},
		"named profile":    {map[string]string{"profile": "lab"}, nil, "us-west-9", "http://127.0.0.1:1"},
		"profile of AWS":   {nil, map[string]string{"AWS_PROFILE": "lab"}, "us-west-9", "http://127.0.0.1:1"},
		"another file":     {nil, map[string]string{"AWS_CONFIG_FILE": "/none"}, "", "https://s3.amazonaws.com"},
		"no files to read": {nil, map[string]string{"HOME": ""}, "", "https://s3.amazonaws.com"},
	} {
		w := newKeyWorld(t, rolesGiven)
		home(t, w, "", "[default]\nregion = eu-west-1\n[profile lab]\nregion = us-west-9\nendpoint_url = http://127.0.0.1:1\n")
		maps.Copy(w.env, c.env)
		given := map[string]any{"bucket": "media"}
		for k, v := range c.given {
			given[k] = v
		}
		got, err := settings(option.Of(fields(), given), store.Env{Getenv: func(n string) (string, bool) { v, ok := w.env[n]; return v, ok }})
		if err != nil || got.region != c.region || !strings.HasPrefix(got.endpoint, c.endpoint) {
			t.Errorf("%s: region %q, endpoint %q, %v", name, got.region, got.endpoint, err)
		}
	}
}
