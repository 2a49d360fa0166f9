package postgres

import (
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// The server cuts longer names, and would not find them again.
func TestOptions_when_a_schema_has_a_long_name(t *testing.T) {
	for _, name := range []string{"schema", "control_schema"} {
		for n, want := range map[int]bool{maxName: false, maxName + 1: true} {
			given := map[string]any{"address": "127.0.0.1", "tls": option.Of(tlsFields(), nil), name: strings.Repeat("s", n)}
			if _, err := readConfig(option.Of(options(), given)); fault.Has(err, fault.JobValue) != want {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}
