package option

import "encoding/json"

// Schema returns the JSON schema (draft 2020-12) of texts that Parse accepts,
// as far as a schema can say it: it is for editors, Parse is the judge. title and
// id may be empty.
func Schema(title, id string, fields []Field) []byte {
	root := object(fields, false)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	if id != "" {
		root["$id"] = id
	}
	if title != "" {
		root["title"] = title
	}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("option: " + err.Error()) // only plain data goes in
	}
	return append(b, '\n')
}

func object(fields []Field, oneOf bool) map[string]any {
	props, required, choices := map[string]any{}, []string{}, []any{}
	for _, f := range fields {
		props[f.Name] = f.schema()
		if f.Required {
			required = append(required, f.Name)
		}
		if f.Choice {
			choices = append(choices, map[string]any{"required": []string{f.Name}})
		}
	}
	o := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	if len(choices) > 0 {
		o["oneOf"] = choices
	}
	if oneOf {
		o["minProperties"], o["maxProperties"] = 1, 1
	}
	return o
}

func (f Field) schema() map[string]any {
	s := f.kindSchema()
	if f.Help != "" {
		s["description"] = f.Help
	}
	if d := f.defaultText(); d != nil {
		s["default"] = d
	}
	if f.Example != "" && f.Kind != List && f.Kind != Map && f.Kind != Int && f.Kind != Bool {
		s["examples"] = []string{f.Example}
	}
	return s
}

func (f Field) kindSchema() map[string]any {
	switch f.Kind {
	case Int:
		s := map[string]any{"type": "integer"}
		if f.Min != 0 || f.Max != 0 {
			s["minimum"] = f.Min
			if f.Max != 0 {
				s["maximum"] = f.Max
			}
		}
		return s
	case Bool:
		return map[string]any{"type": "boolean"}
	case Size:
		return map[string]any{"type": []string{"integer", "string"}, "minimum": 0,
			"pattern": `^[0-9]+(\.[0-9]+)? *([kKmMgGtT][iI]?)?[bB]?$`}
	case Duration:
		return map[string]any{"type": []string{"integer", "string"}, "maximum": 0, "minimum": 0,
			"pattern": `^(0|([0-9]+(\.[0-9]+)? *(ms|s|m|min|h|d) *)+)$`}
	case Enum:
		return map[string]any{"enum": f.Values}
	case List:
		return f.array(map[string]any{"type": []string{"string", "number"}})
	case Map:
		s := map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "number", "boolean"}}}
		if f.Max > 0 {
			s["maxProperties"] = f.Max
		}
		return s
	case Objects:
		return f.array(object(f.Fields, f.OneOf))
	case Object:
		return object(f.Fields, f.OneOf)
	}
	return map[string]any{"type": []string{"string", "number"}}
}

func (f Field) array(items map[string]any) map[string]any {
	s := map[string]any{"type": "array", "items": items}
	if f.Min > 0 {
		s["minItems"] = f.Min
	}
	if f.Max > 0 {
		s["maxItems"] = f.Max
	}
	return s
}
