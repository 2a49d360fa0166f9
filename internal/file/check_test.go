package file

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"godwit/internal/engine"
	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/s3"
	"godwit/internal/watch"
	servers "godwit/test/servers/s3"
	"godwit/test/servers/s3/proxy"
)

// abortsAfter is what Amazon S3 answers when a bucket has such a rule.
func abortsAfter(days int) string {
	return fmt.Sprintf(`<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>clean up</ID><Filter><Prefix>lake/</Prefix></Filter>`+
		`<Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>%d</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>`, days)
}

// checked returns what a check finds whose target's service answers the question
// for lifecycle rules so.
func checked(t *testing.T, server *servers.Server, status int, text string) []watch.Finding {
	t.Helper()
	p := proxy.Start(t, server.Endpoint)
	p.Answer("lifecycle", status, text)
	stores := store.Registry{local.Driver(), s3.Driver()}
	spec, problems := job.Parse("job.yaml", fmt.Appendf(nil, `
name: check
kind: files
source: {url: "file://%s"}
sink: {s3: {endpoint: "%s", bucket: %s, prefix: lake/, access_key: %s, secret_key: "${env:SECRET}"}}
`, t.TempDir(), p.URL, server.Bucket(t), server.AccessKey), job.Systems{Stores: stores}, option.Resolver{
		Env: func(string) (string, bool) { return server.SecretKey, true },
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r, err := Engine{Stores: stores}.Check(t.Context(), spec, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Findings
}

func TestCheck_when_the_target_drops_unfinished_uploads(t *testing.T) {
	server, err := servers.Launch("versitygw")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, c := range map[string]struct {
		status int
		text   string
		finds  bool // there is a finding
		warns  bool
	}{
		"soon":        {http.StatusOK, abortsAfter(6), true, true},
		"late":        {http.StatusOK, abortsAfter(7), true, false},
		"never":       {http.StatusNotFound, "<Error><Code>NoSuchLifecycleConfiguration</Code></Error>", true, false},
		"not told":    {http.StatusForbidden, "<Error><Code>AccessDenied</Code></Error>", false, false},
		"not known":   {http.StatusNotImplemented, "<Error><Code>NotImplemented</Code></Error>", false, false},
		"not of form": {http.StatusOK, "<html>", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			found := false
			for _, f := range checked(t, server, c.status, c.text) {
				if f.Name != "lifecycle" {
					if f.Fault != nil {
						t.Errorf("%+v", f)
					}
					continue
				}
				found = true
				if f.Warn != c.warns || (f.Fault != nil) != c.warns {
					t.Errorf("%+v", f)
				}
				if c.warns && (f.Fault.Code != fault.CheckFailed || !strings.Contains(f.Fault.What, `"clean up"`) || !strings.Contains(f.Fault.Hint, "7")) {
					t.Errorf("it does not say which rule, or what to do: %+v", f.Fault)
				}
			}
			if found != c.finds {
				t.Errorf("a finding: %v", found)
			}
		})
	}
}
