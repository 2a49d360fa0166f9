package api

import _ "embed"

//go:embed openapi.yaml
var document string

// Document returns openapi.yaml as it was when this program was built.
func Document() string { return document }
