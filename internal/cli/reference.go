package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// Schema returns the JSON schema of job files for the systems of sys: of file jobs
// where kind says so, else of table jobs.
func Schema(sys job.Systems) []byte {
	tables := option.Schema("", "", job.Fields(sys.Registry))
	files := option.Schema("", "", job.FileFields(sys.Stores))
	b, err := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "godwit job file",
		"if":      map[string]any{"properties": map[string]any{"kind": map[string]any{"const": job.KindFiles}}, "required": []string{"kind"}},
		"then":    json.RawMessage(files),
		"else":    json.RawMessage(tables),
	}, "", "  ")
	if err != nil {
		panic("cli: " + err.Error()) // only plain data goes in
	}
	return append(b, '\n')
}

// Reference returns docs/job-reference.md for the systems of sys.
func Reference(sys job.Systems) string {
	return `# Job file reference

<!-- Made from the options' declarations by the program itself; a test says that it is fresh. -->

A job file is one YAML document, read strictly: a key that is not listed here is an error, with its line, column and the
nearest key that exists. Anchors, aliases, tags and merge keys are not used. ` + "`godwit schema`" + ` prints the same as a JSON schema
for editors.

**Sizes** are written ` + "`128MiB`, `1 GB` or in bytes; KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024." + `
**Durations** are written ` + "`500ms`, `30s`, `5m`, `1h30m`, `3d`" + `.
**References**: in every text, ` + "`${env:NAME}`" + ` stands for an environment variable and ` + "`${file:PATH}`" + ` for what a file holds (a
relative path counts from the job file's folder; one newline at the end is dropped). ` + "`$${`" + ` is a plain ` + "`${`" + `. Secrets written plainly
are accepted; references are better.
**Editing** a table job that has run: everything of a sink is fixed once it was written, except what "may be changed later";
` + "`until`, `parallel`" + ` and the source's options may change (the source must have the same history), sinks and tables may be added or left out.
` + "`godwit plan`" + ` says what an edit does. A file job takes every edit but its name: where it matters what is chosen or compared, everything
is listed anew and what is equal is not copied again. What "may be changed while it runs" is taken over at SIGHUP.

# Table jobs

` + option.Reference("", job.Fields(sys.Registry)) + `# File jobs

A file job says ` + "`kind: files`" + `. ` + "[The tutorial](files.md) has one to paste." + `

` + option.Reference("", fileFields(sys)) + `# Templates

A server makes many jobs of one [template](server.md#many-jobs-of-one-kind): a job file with these keys more, in which ` + "`${param:NAME}`" + ` stands for a parameter. It
stands in values alone, never in keys or secrets, and always for text; alone and without quotes also for a whole number, true or false.

` + option.Reference("", option.TemplateFields())
}

// fileFields are those of file jobs with the stores' options once: source and sink
// take the same.
func fileFields(sys job.Systems) []option.Field {
	fields := job.FileFields(sys.Stores)
	for i, f := range fields {
		if f.Name == "sink" {
			fields[i].Fields, fields[i].Help = nil, f.Help+" The same keys as `source`."
		}
	}
	return fields
}

// ErrorReference returns docs/errors.md.
func ErrorReference() string {
	var b strings.Builder
	b.WriteString(`# Errors by code

<!-- Made from the catalogue of errors by the program itself; a test says that it is fresh. -->

Every error has a stable code. ` + "`godwit explain CODE`" + ` prints what is here. The class says what happens next: *retry* is tried
again by itself, *user* waits for somebody to mend something, *fatal* is a broken invariant or format, *fenced* means that a
newer run took over, *lost* that something needed is gone: godwit never goes on "from now".

Exit codes: 0 done, 1 failed, 2 bad request (command line, job file), 3 environment (a store is unreachable or refuses, a check
did not pass), 4 finished but not whole, 130 and 143 stopped by a signal with everything committed.

| code | class | exit code | meaning |
|---|---|---|---|
`)
	sorted := slices.SortedFunc(slices.Values(fault.Catalogue), func(a, b fault.Info) int { return cmp.Compare(a.Code, b.Code) })
	for _, i := range sorted {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %s |\n", i.Code, strings.ToLower(string(i.Code)), i.Class, i.Exit, i.Short)
	}
	for _, i := range sorted {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", i.Code, i.Long)
	}
	return b.String()
}
