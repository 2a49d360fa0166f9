package main

import (
	"fmt"
	"strings"
	"testing"

	"godwit/internal/connector/all"
	"godwit/internal/job"
	"godwit/internal/option"
)

const lakeInBucket = `
name: shop
source: {mysql: {user: u}}
tables: ["shop.*"]
sinks:
  - name: lake
    files: {s3: {endpoint: "http://h:1", bucket: lake, prefix: "shop/", access_key: "${env:KEY}", secret_key: "${env:KEY}", class: COLD}}
`

// What an edit of a sink in a bucket does, and that no key of it is kept.
func TestEdit_when_target_is_a_bucket(t *testing.T) {
	parse := func(text, key string) *job.Spec {
		t.Helper()
		s, problems := job.Parse("job.yaml", []byte(text), job.Systems{Registry: all.Registry(), Stores: all.Stores()},
			option.Resolver{Env: func(string) (string, bool) { return key, true }})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return s
	}
	kept := parse(lakeInBucket, "Pfuhlschnepfe").Kept()
	if strings.Contains(fmt.Sprint(kept), "Pfuhlschnepfe") {
		t.Errorf("a key is kept: %v", kept)
	}
	for from, c := range map[string]struct{ to, want string }{
		"http://h:1":     {"http://other:1", "sinks.lake.files.s3.endpoint refused"},
		"bucket: lake":   {"bucket: pond", "sinks.lake.files.s3.bucket refused"},
		`"shop/"`:        {`"shop2/"`, "sinks.lake.files.s3.prefix refused"},
		"class: COLD":    {"class: WARM", "sinks.lake.files.s3.class applies"},
		", class: COLD}": {", class: COLD}, format: csv", ""},
		", class":        {", credentials: static, class", "sinks.lake.files.s3.credentials applies"},
	} {
		var got []string
		for _, e := range parse(strings.Replace(lakeInBucket, from, c.to, 1), "another key").Diff(kept) {
			got = append(got, fmt.Sprintf("%s %s", e.Field, e.Effect))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s for %s: %q, not %q", c.to, from, got, c.want)
		}
	}
	// A folder that becomes a bucket is another place.
	at := strings.Index(lakeInBucket, "files: ")
	folder := lakeInBucket[:at] + "files: {url: \"file:///lake\"}\n"
	for _, e := range parse(lakeInBucket, "k").Diff(parse(folder, "k").Kept()) {
		if e.Effect == job.Refused {
			return
		}
	}
	t.Error("a job's target was moved and nothing is refused")
}
