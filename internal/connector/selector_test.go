package connector

import (
	"strings"
	"testing"

	"godwit/internal/row"
)

func TestSelector(t *testing.T) {
	s := Selector{Patterns: []string{"shop.*", "!shop.tmp_*", "crm.user?", "*.audit"}}
	for name, want := range map[string]bool{
		"shop.orders": true, "shop.tmp_x": false, "shop.tmp": true, "crm.users": true, "crm.user": false,
		"crm.userss": false, "x.audit": true, "x.audits": false, "Shop.orders": false, "shop.größe": true,
	} {
		space, table, _ := strings.Cut(name, ".")
		if got := s.Match(row.Name{Space: space, Table: table}); got != want {
			t.Errorf("%s chosen: %v", name, got)
		}
	}
	if glob(strings.Repeat("*a", 30), strings.Repeat("a", 5000)+"b") {
		t.Error("matched")
	}
	for _, bad := range []string{"shop", "shop.", ".x", "!", ""} {
		if ValidPattern(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
