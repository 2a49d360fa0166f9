package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences are the texts by which a licence is known; all that may be linked
// into the binary, and no other.
var licences = []struct {
	name string
	text *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`(?i)apache license version 2\.0, january 2004`)},
	{"MPL-2.0", regexp.MustCompile(`(?i)mozilla public license,? version 2\.0`)},
	{"MIT", regexp.MustCompile(`(?i)permission is hereby granted, free of charge, to any person obtaining a copy`)},
	{"ISC", regexp.MustCompile(`(?i)permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee is hereby granted`)},
	{"BSD", regexp.MustCompile(`(?i)redistribution and use in source and binary forms, with or without modification, are permitted`)},
}

var copyleft = regexp.MustCompile(`(?i)gnu (affero |lesser |library )?general public license|business source license|server side public licen[cs]e|commons clause`)

// reviewed are files beside a module's own licence that are lists or notices,
// read by a person: what they name is free to link, or is not linked.
var reviewed = map[string][]string{
	"modernc.org/sqlite": {"LICENSE-SQLITE", "LICENSE-3RD-PARTY.md"}, // public domain; a list of the module graph
	"modernc.org/memory": {"LICENSE-LOGO"},                           // the address of a picture that is not linked
}

// linked is a module that is part of the binary.
type linked struct{ path, version, dir string }

func TestLicences_when_linked_into_the_binary(t *testing.T) {
	modules := linkedModules(t)
	if len(modules) < 5 {
		t.Fatalf("only %d modules are linked: the test looks at the wrong thing", len(modules))
	}
	for _, m := range modules {
		name, err := licence(m.dir, reviewed[m.path])
		if err != nil {
			t.Errorf("%s %s: %v", m.path, m.version, err)
			continue
		}
		t.Logf("%-12s %s %s", name, m.path, m.version)
	}
}

func TestLicence_when_text_is_known_or_not(t *testing.T) {
	for text, want := range map[string]string{
		"MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy":                       "MIT",
		"Redistribution and use in source and binary forms, with or without\nmodification, are permitted":                   "BSD",
		"Apache License\n                           Version 2.0, January 2004":                                              "Apache-2.0",
		"GNU GENERAL PUBLIC LICENSE\nVersion 3":                                                                             "",
		"Business Source License 1.1":                                                                                       "",
		"Permission is hereby granted, free of charge, to any person obtaining a copy ... Commons Clause License Condition": "",
		"All rights reserved.": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := licence(dir, nil)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := licence(t.TempDir(), []string{"LICENSE"}); err == nil {
		t.Error("a module without a licence passed")
	}
}

// licence names the licence of the module in dir. Of several files each must be
// known, or read before: a module may carry code of others.
func licence(dir string, read []string) (string, error) {
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		base := strings.ToLower(e.Name())
		if e.IsDir() || slices.Contains(read, e.Name()) || !strings.HasPrefix(base, "license") && !strings.HasPrefix(base, "licence") && !strings.HasPrefix(base, "copying") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		name, err := classify(text)
		if err != nil {
			return "", errors.Join(errors.New(e.Name()), err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "", errors.New("no licence file")
	}
	return strings.Join(names, "+"), nil
}

func classify(raw []byte) (string, error) {
	text := bytes.Join(bytes.Fields(raw), []byte(" "))
	// Apache-2.0 and MPL-2.0 name no other licence but GNU's, as compatible ones.
	for _, l := range licences {
		if !l.text.Match(text) {
			continue
		}
		if copyleft.Match(text) && l.name != "MPL-2.0" {
			return "", errors.New(l.name + " together with a licence that may not be linked")
		}
		return l.name, nil
	}
	return "", errors.New("a licence that is not known to be free to link")
}

// linkedModules asks the go command for the modules of cmd/godwit.
func linkedModules(t *testing.T) []linked {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=Module,Standard", "./cmd/godwit")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	var found []linked
	seen := map[string]bool{module: true}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Module *struct{ Path, Version, Dir string }
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || seen[p.Module.Path] {
			continue
		}
		seen[p.Module.Path] = true
		found = append(found, linked{p.Module.Path, p.Module.Version, p.Module.Dir})
	}
}
