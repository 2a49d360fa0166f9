package allow_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/job"
	"godwit/internal/option"
)

// telling are words in the name of an option that is likely a path.
var telling = []string{"ca", "cert", "certificate", "key", "file", "path", "dir", "folder", "list", "socket", "pem", "token", "credentials", "home", "root", "spool", "temp"}

// sayings are words with which the help of a path is likely to begin.
var sayings = []string{"file", "pem", "path", "the file", "the path", "folder", "the folder", "directory"}

// harmless are the ends of the ways to options with such names that are no paths of this
// machine.
var harmless = map[string]string{
	"list_version":     "a number of the protocol",
	"list":             "an object; its file is declared",
	"hdfs.path":        "a folder in HDFS",
	"hdfs.file_mode":   "rights in HDFS",
	"hdfs.folder_mode": "rights in HDFS",
	"files.path":       "how folders below the target are called",
	"rules.key":        "names of columns",
}

func isHarmless(way string) bool {
	for end := range harmless {
		if way == end || strings.HasSuffix(way, "."+end) {
			return true
		}
	}
	return false
}

// everyField calls each with all fields of all job files and their way there.
func everyField(each func(way string, f option.Field)) {
	var walk func(way string, fields []option.Field)
	walk = func(way string, fields []option.Field) {
		for _, f := range fields {
			each(way+f.Name, f)
			walk(way+f.Name+".", f.Fields)
		}
	}
	walk("", job.Fields(systems.Registry))
	walk("", job.FileFields(systems.Stores))
}

func TestFields_when_a_name_is_that_of_a_path(t *testing.T) {
	paths := map[string]bool{}
	everyField(func(way string, f option.Field) {
		if f.Machine.IsPath() {
			paths[way] = true
		}
		if f.Machine != 0 || f.Kind == option.Secret || isHarmless(way) {
			return // the value of a Secret is the secret itself
		}
		if slices.ContainsFunc(strings.Split(f.Name, "_"), func(w string) bool {
			return slices.Contains(telling, strings.TrimSuffix(w, "s")) || slices.Contains(telling, w)
		}) && f.Kind != option.Object {
			t.Errorf("%s: is it a path? declare it (option.Field.Machine), or say here why it is none", way)
		}
		if (f.Kind == option.Text || f.Kind == option.List) && slices.ContainsFunc(sayings, func(s string) bool { return strings.HasPrefix(strings.ToLower(f.Help), s+" ") }) {
			t.Errorf("%s: by its help it is a path: declare it (option.Field.Machine)", way)
		}
	})
	for _, want := range []string{"source.mysql.socket", "source.mysql.tls.ca", "source.mysql.tls.cert", "source.mysql.tls.key", "sinks.files.local.path", "sinks.files.s3.tls.ca", "source.local.path", "sink.s3.tls.ca", "list.file"} {
		if !paths[want] {
			t.Errorf("%s is not declared as a path", want)
		}
	}
}

func TestFields_when_a_declaration_has_no_meaning(t *testing.T) {
	everyField(func(way string, f option.Field) {
		switch {
		case f.Machine.IsPath() && f.Kind != option.Text && f.Kind != option.List:
			t.Errorf("%s: only a Text or a List can be a path", way)
		case f.Machine.IsPath() && f.Takes != nil, f.Machine == 0 && f.Takes != nil:
			t.Errorf("%s: Takes is for what is no path", way)
		case f.Stands != nil && f.Kind != option.Text:
			t.Errorf("%s: only a Text stands for options", way)
		}
	})
}
