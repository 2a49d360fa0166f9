package cli

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"godwit/internal/watch"
)

// OutputSchema returns the JSON schema of the lines that --json prints, made
// from the types that are printed.
func OutputSchema() []byte {
	lines := []struct {
		kinds []string
		of    any
	}{
		{[]string{lineStart}, startLine{}},
		{[]string{linePhase, lineProgress}, progressLine{}},
		{[]string{lineTable}, tableLine{}},
		{[]string{lineWarning}, warningLine{}},
		{[]string{lineSummary}, summaryLine{}},
		{[]string{"error"}, errorLine{}},
		{[]string{"check"}, checkLine{}},
		{[]string{"plan"}, planLine{}},
		{[]string{linePreview}, previewLine{}},
		{[]string{lineDryRun}, dryRunLine{}},
		{[]string{lineConnector}, connectorLine{}},
		{[]string{lineInit}, initLine{}},
		{[]string{"status"}, statusLine{}},
		{[]string{"position"}, positionLine{}},
		{[]string{lineLetter}, letterLine{}},
		{[]string{lineLetterCount}, letterCountLine{}},
		{[]string{"explain"}, explainLine{}},
		{[]string{"version"}, versionLine{}},
		{[]string{"object"}, objectLine{}},
		{[]string{"task"}, taskReportLine{}},
		{[]string{"audit"}, entryLine{}},
		{[]string{"report"}, filesReportLine{}},
		{[]string{"difference"}, differenceLine{}},
		{[]string{"verified"}, verifiedLine{}},
		{[]string{"repaired"}, repairedLine{}},
		{[]string{lineJob}, jobLine{}},
		{[]string{lineTask}, jobTaskLine{}},
		{[]string{lineTables}, jobTableLine{}},
		{[]string{lineVersion}, jobVersionLine{}},
		{[]string{lineChange}, jobChangeLine{}},
		{[]string{lineEdit}, jobEditLine{}},
		{[]string{lineDiff}, jobDiffLine{}},
		{[]string{lineAct}, jobActLine{}},
		{[]string{lineGone}, goneLine{}},
		{[]string{lineVerification}, verificationLine{}},
		{[]string{lineAlarm}, alarmLine{}},
		{[]string{lineAudit}, auditLine{}},
		{[]string{lineToken}, tokenLine{}},
		{[]string{lineTokenGone}, tokenGoneLine{}},
		{[]string{lineTemplate}, templateLine{}},
		{[]string{lineTemplateVersion}, templateVersionLine{}},
		{[]string{lineTemplateDiff}, templateDiffLine{}},
		{[]string{lineTemplateItem}, templateItemLine{}},
		{[]string{lineTemplateEdit}, templateEditLine{}},
		{[]string{lineTemplateGone}, templateGoneLine{}},
		{[]string{lineServer}, serverLine{}},
	}
	var all []any
	var kinds []string
	for _, l := range lines {
		s := typeSchema(reflect.TypeOf(l.of))
		s["properties"].(map[string]any)["type"] = map[string]any{"enum": l.kinds}
		all = append(all, s)
		kinds = append(kinds, l.kinds...)
	}
	// Kinds to come are to be ignored: they match the last branch.
	all = append(all, map[string]any{"type": "object", "properties": map[string]any{"type": map[string]any{"not": map[string]any{"enum": kinds}}}})
	b, err := json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "a line of godwit --json",
		"description": "Fields and kinds of lines are only ever added: ignore what you do not know. Numbers of bytes, rows and seconds carry no unit; *_s is seconds or per second.",
		"anyOf":       all,
	}, "", "  ")
	if err != nil {
		panic("cli: " + err.Error())
	}
	return append(b, '\n')
}

// typeSchema describes a Go type as encoding/json writes it.
func typeSchema(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Uint8 && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return map[string]any{"type": "string"} // a number that is written as a word
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		if t == reflect.TypeFor[watch.PreviewRow]() { // a cell may be null, and a row left out
			return map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"type": []string{"string", "null"}}}
		}
		return map[string]any{"type": []string{"array", "null"}, "items": typeSchema(t.Elem())}
	case reflect.Map:
		values := typeSchema(t.Elem())
		if t.Elem().Kind() == reflect.Pointer { // nil is null
			values = map[string]any{"anyOf": []any{values, map[string]any{"type": "null"}}}
		}
		return map[string]any{"type": "object", "additionalProperties": values}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return map[string]any{"type": "string", "format": "date-time"}
		}
		props, required := map[string]any{}, []string{}
		fieldSchemas(t, props, &required)
		return map[string]any{"type": "object", "properties": props, "required": required}
	}
	panic("cli: no schema for " + t.String())
}

func fieldSchemas(t reflect.Type, props map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			fieldSchemas(f.Type, props, required)
			continue
		}
		props[name] = typeSchema(f.Type)
		if !strings.HasPrefix(rest, "omitempty") && !strings.HasPrefix(rest, "omitzero") {
			*required = append(*required, name)
		}
	}
}
