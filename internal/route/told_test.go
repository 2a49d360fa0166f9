package route

import (
	"strings"
	"testing"
)

func TestTold(t *testing.T) {
	for text, want := range map[string]string{
		`  - {tables: ["crm.*"], omit: true}`:                                           "",
		`  - {omit: true}`:                                                              "left out",
		`  - {tables: ["shop.*"], rename: "sales.{table}"}`:                             "named sales.orders",
		`  - {columns: ["*", "!n*"]}`:                                                   "without note",
		`  - {rename_columns: {id: order_id}, where: "amount > 1"}`:                     "id as order_id; rows where amount > 1",
		`  - {set: {note: "upper(note)"}}`:                                              "note = upper(note)",
		"  - {set: {double: \"amount * 2\"}}\n  - {columns: [id, note, double]}":        "double = amount * 2",
		"  - {set: {note: \"'x'\"}, columns: [id, note]}\n  - {where: \"id % 2 == 0\"}": "without amount; note = 'x'; rows where id % 2 == 0",
		`  - {columns: [nothing]}`:                                                      "",
	} {
		if got := strings.Join(New(rules(t, text)).Told(orders), "; "); got != want {
			t.Errorf("%s is told as %q, expected %q", text, got, want)
		}
	}
	if got := (*Router)(nil).Told(orders); got != nil {
		t.Errorf("without rules: %q", got)
	}
}
