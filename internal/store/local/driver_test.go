package local_test

import (
	"os"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/local"
)

func TestDriver_when_opened_by_url_or_options(t *testing.T) {
	dir := t.TempDir()
	r := store.Registry{local.Driver()}
	for name, given := range map[string]map[string]any{
		"url":     {"url": "file://" + dir},
		"options": {"local": option.Of(local.Driver().Options, map[string]any{"path": dir})},
	} {
		s, err := r.Open(t.Context(), option.Of(r.Fields(), given), store.Env{Staging: "_godwit/staging"})
		must(t, err)
		if got := s.(store.Placer).Where(); got != dir {
			t.Errorf("%s: %s", name, got)
		}
		must(t, put(s, name, "x"))
		must(t, s.Close())
	}
	if _, err := os.Stat(dir + "/_godwit/staging"); err != nil {
		t.Error(err)
	}
}

func TestDriver_when_the_url_names_no_folder(t *testing.T) {
	r := store.Registry{local.Driver()}
	for _, u := range []string{
		"/data", "file:", "file://", "file:///", "file://host/x", "file://user:hunter2@/x", "file:data", "file:///a?b", "file:///a#b",
		"file:///a%00", "file:///a/../b", "file:///./a",
	} {
		_, err := r.Open(t.Context(), option.Of(r.Fields(), map[string]any{"url": u}), store.Env{})
		if !fault.Has(err, fault.JobValue) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", u, err)
		}
	}
}
