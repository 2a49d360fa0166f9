package s3

import (
	"net/http"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"godwit/internal/fault"
	"godwit/internal/store"
	servers "godwit/test/servers/s3"
	"godwit/test/servers/s3/proxy"
)

// rulesAnswer is what Amazon S3 answers, with rules that count and that do not.
const rulesAnswer = `<?xml version="1.0" encoding="UTF-8"?>
<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Rule><ID>clean</ID><Filter><Prefix/></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>off</ID><Filter><Prefix/></Filter><Status>Disabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>others</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>below</ID><Filter><And><Prefix>lake/tmp/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></And></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>old form</ID><Prefix>la</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration><AbortIncompleteMultipartUpload><DaysAfterInitiation>30</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>expire</ID><Filter><Prefix/></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>
</LifecycleConfiguration>`

// answering is a store whose service answers the question for rules so.
func answering(t *testing.T, prefix string, status int, text string) *Store {
	t.Helper()
	server := servers.Versity(t)
	p := proxy.Start(t, server.Endpoint)
	p.Answer("lifecycle", status, text)
	return at(t, p.URL, server.Bucket(t), prefix, store.Env{}, nil)
}

func TestAbortRules_when_some_are_about_the_store(t *testing.T) {
	rules, err := answering(t, "lake/", http.StatusOK, rulesAnswer).AbortRules(t.Context())
	want := []store.AbortRule{{Name: "clean", Days: 3}, {Name: "below", Prefix: "lake/tmp/", Days: 2}, {Name: "old form", Prefix: "la", Days: 30}}
	if err != nil || !slices.Equal(rules, want) {
		t.Errorf("%v, %v; want %v", rules, err, want)
	}
	if r, ok := store.Hasty(rules); !ok || r.Name != "below" {
		t.Errorf("the hastiest is %v, %v", r, ok)
	}
}

func TestAbortRules_when_they_are_not_known(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		want   fault.Code
	}{
		"NotImplemented":   {http.StatusNotImplemented, fault.StoreRefused},
		"MethodNotAllowed": {http.StatusMethodNotAllowed, fault.StoreRefused},
		"AccessDenied":     {http.StatusForbidden, fault.StoreRefused},
	} {
		s := answering(t, "", c.status, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
		if rules, err := s.AbortRules(t.Context()); !fault.Has(err, c.want) || rules != nil {
			t.Errorf("%s: %v, %v", code, rules, err)
		}
	}
}

func TestAbortRules_when_the_server_is_real(t *testing.T) {
	minio := servers.MinIO(t)
	s := at(t, minio.Endpoint, minio.Bucket(t), "lake/", store.Env{}, nil)
	if rules, err := s.AbortRules(t.Context()); err != nil || len(rules) != 0 {
		t.Fatalf("without rules: %v, %v", rules, err)
	}
	err := minio.Client().SetBucketLifecycle(t.Context(), s.at.bucket, &lifecycle.Configuration{Rules: []lifecycle.Rule{{
		ID: "clean", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 9},
		AbortIncompleteMultipartUpload: lifecycle.AbortIncompleteMultipartUpload{DaysAfterInitiation: 3},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	// It keeps the rule and drops the part of it that it cannot do.
	if rules, err := s.AbortRules(t.Context()); err != nil || len(rules) != 0 {
		t.Fatalf("with rules: %v, %v", rules, err)
	}
	gateway := servers.Versity(t)
	s = at(t, gateway.Endpoint, gateway.Bucket(t), "lake/", store.Env{}, nil)
	if rules, err := s.AbortRules(t.Context()); !fault.Has(err, fault.StoreRefused) {
		t.Fatalf("by a service that has none: %v, %v", rules, err)
	}
}
