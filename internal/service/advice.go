package service

import (
	"regexp"
	"strings"

	"godwit/internal/job"
	"godwit/internal/option"
)

// ranAs is advice as engines and systems word it: for godwit run, with a job file. That
// of a job that lives here is always called fileName.
var ranAs = regexp.MustCompile(`godwit (run --again|run|retry|check|plan|report|status)\b( ` + regexp.QuoteMeta(fileName) + `)?( --failed| --again)?`)

// Advice is a text of an engine with its commands as they are given under a server: a
// job is called by its name there, and is read again by other commands.
func Advice(text, name string, kind job.Kind) string {
	if !strings.Contains(text, "godwit ") {
		return text
	}
	return ranAs.ReplaceAllStringFunc(text, func(found string) string {
		part := ranAs.FindStringSubmatch(found)
		switch {
		case part[1] == "check":
			return "godwit job check FILE --deep"
		case part[1] == "plan":
			return "godwit job plan FILE"
		case part[1] == "retry":
			return "godwit job retry " + name
		case part[1] == "report", part[1] == "status":
			return "godwit job show " + name
		case part[1] == "run" && part[3] != " --again":
			return "godwit job start " + name
		case kind == job.KindFiles: // nothing is kept of it that could be reset
			return "godwit job delete " + name + " --confirm, godwit job submit FILE"
		}
		return again(name)
	})
}

// again are the commands after which all tables of a job are read again: none can be by
// itself yet.
func again(name string) string {
	return "godwit job stop " + name + ", godwit job reset " + name + " --confirm " + name + ", godwit job start " + name
}

// wording is what is done to each text of an engine about a job before somebody sees
// it: what is secret is hidden, and advice is what is right here.
func wording(spec *job.Spec) func(string) string {
	hide := option.Masker(spec.Values())
	return func(text string) string { return Advice(hide(text), spec.Name, spec.Kind) }
}
