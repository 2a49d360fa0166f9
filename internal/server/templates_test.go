package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestValues_when_they_do_not_fit(t *testing.T) {
	x := open(t)
	many := make([]string, maxParameters+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"p%d": ""`, i)
	}
	for values, says := range map[string]string{
		`null`:           `values may not be null`,
		`{}`:             `values must be a list`,
		`[]`:             `the number of values is 0`,
		`[null]`:         `values[0] may not be null`,
		`["a"]`:          `values[0] must be an object`,
		`[{"a": null}]`:  `values[0].a may not be null`,
		`[{"a": 7}]`:     `values must be a text`,
		`[{"a": ["x"]}]`: `values must be a text`,
		`[{}, {"a": "` + strings.Repeat("é", maxValue+1) + `"}]`: `values[1].a has 1001 characters`,
		`[{` + strings.Join(many, ",") + `}]`:                    `values[0] has 101 items`,
	} {
		a := x.ask("POST", "/api/v1/templates/shop/jobs", `{"values": `+values+`}`, as(operator))
		x.want(a, 400, "BAD_REQUEST")
		if p := a.problem(t); !strings.HasPrefix(p.Title, says) {
			t.Errorf("%.60s: %q, want %q", values, p.Title, says)
		}
	}
	if n := x.fake.reached(); n != 0 {
		t.Errorf("%d requests reached the service", n)
	}
	x.want(x.ask("POST", "/api/v1/templates/shop/jobs", `{"values": [{"a": "`+strings.Repeat("é", maxValue)+`"}]}`, as(operator)), 200, "")
	x.want(x.ask("POST", "/api/v1/templates/shop/jobs", `{"values": [{"a": ""}]}`, as(reader)), 403, "TOKEN_REFUSED")
	x.want(x.ask("GET", "/api/v1/templates/shop", "", as(reader)), 200, "")
	x.want(x.ask("GET", "/api/v1/templates/none", "", as(reader)), 404, "TEMPLATE_UNKNOWN")
	x.want(x.ask("DELETE", "/api/v1/templates/shop", "", as(operator)), 409, "NOT_NOW")
}
