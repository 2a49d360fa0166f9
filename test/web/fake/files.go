package fake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"godwit/internal/api"
)

func file(name string, version int64) string {
	return fmt.Sprintf("# Version %d\nname: %s\nsource:\n  mysql: {address: \"shop-db:3306\", user: godwit, password: \"${env:SHOP_PASSWORD}\"}\ntables: [\"shop.*\"]\nsinks:\n  - name: lake\n    files: {url: \"s3://lake/shop/\", roll: {size: 128MiB, every: %ds}}\n", version, name, 30*version)
}

// CheckJob implements the API: a file is good unless it has the word wrong, whose line
// is told.
func (s *Server) CheckJob(w http.ResponseWriter, r *http.Request) {
	var d api.Draft
	_ = json.NewDecoder(r.Body).Decode(&d) // then the text is empty
	_, name, _ := strings.Cut(d.File, "name: ")
	name, _, _ = strings.Cut(name, "\n")
	out := api.CheckResult{Ok: true, Name: name, Problems: []api.FileProblem{}, Findings: []api.Finding{}}
	if before, _, found := strings.Cut(d.File, "wrong"); found {
		out.Ok, out.Name = false, ""
		out.Problems = append(out.Problems, api.FileProblem{Code: "JOB_FIELD", What: "no such key", Line: 1 + strings.Count(before, "\n"), Column: 3, Hint: "did you mean \"right\"?"})
	}
	answer(w, out)
}

// ListVersions implements the API.
func (s *Server) ListVersions(w http.ResponseWriter, _ *http.Request, name api.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	items := []api.Version{}
	for n := j.Version; n > 0; n-- {
		items = append(items, s.version(name, n))
	}
	answer(w, map[string]any{"items": items})
}

func (s *Server) version(_ string, n int64) api.Version {
	return api.Version{Version: n, At: s.started.Add(-time.Duration(10-n) * 24 * time.Hour).UTC(), By: "ana", Reason: "smaller files"}
}

// ShowVersion implements the API.
func (s *Server) ShowVersion(w http.ResponseWriter, _ *http.Request, name api.Name, n int64) {
	v := s.version(name, n)
	v.File = file(name, n)
	answer(w, v)
}

// EditJob implements the API: every kind of change is made, and the last is refused
// where the text has the word forbidden.
func (s *Server) EditJob(w http.ResponseWriter, r *http.Request, name api.Name) {
	var e api.EditRequest
	_ = json.NewDecoder(r.Body).Decode(&e)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.find(w, name)
	if j == nil {
		return
	}
	if e.Version != j.Version {
		refuse(w, http.StatusConflict, "VERSION_CHANGED", fmt.Sprintf("version %d lives, and version %d was edited", j.Version, e.Version), "")
		return
	}
	out := api.EditResult{Version: j.Version, Changes: []api.Change{
		{Field: "sinks.lake.files.roll.every", From: "120s", To: "60s", Effect: "applies", Does: "restarts", Why: "at the next start; nothing is read again"},
		{Field: "source.mysql.address", From: "shop-db:3306", To: "shop-db2:3306", Effect: "checked", Does: "restarts", Why: "the server must continue the history the target holds"},
		{Field: "tables", From: "shop.*", To: "shop.* !shop.tmp_*", Effect: "chooses", Does: "re-plans", Why: "added tables are copied while the others go on; of removed ones what was written stays"},
		{Field: "sinks.dwh", To: "set", Effect: "adds", Does: "re-plans", Why: "a new sink gets every table from the beginning"},
	}}
	if strings.Contains(e.File, "forbidden") {
		out.Changes = append(out.Changes, api.Change{Field: "sinks.lake.files.format", From: "csv", To: "parquet", Effect: "refused", Does: "refused", Why: "the target has files of it"})
	}
	if !e.Preview {
		j.Version++
		out.Version = j.Version
		s.tell("job", *j)
	}
	answer(w, out)
}

// Edit makes another version live, as somebody else would.
func (s *Server) Edit(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[name].Version++
	s.byName[name].UpdatedBy = "ben"
	s.tell("job", *s.byName[name])
}
