package expression

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page about rules lists the functions, and each is one.
func TestFunctions_when_documented(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Functions {
		if line := fmt.Sprintf("| `%s` | %s |\n", f.Use, f.Help); !strings.Contains(string(page), line) {
			t.Errorf("docs/rules.md lacks\n%s", line)
		}
		for _, m := range regexp.MustCompile(`(\w+)\(`).FindAllStringSubmatch(f.Use+f.Help, -1) {
			p, err := Parse(m[1] + "('x', 'y', 'z', 'z')")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Value(Of(sample)); err != nil && strings.Contains(err.Error(), "no function is called") {
				t.Error(err)
			}
		}
	}
}
