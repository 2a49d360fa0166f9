package job

import "testing"

// Targets keep what rulesSum gives: a sum that becomes another one makes every job with
// rules look edited.
func TestRulesSum_when_it_was_kept_before(t *testing.T) {
	const (
		ofJob = "\nrules:\n  - tables: [\"*.users\"]\n    columns: [\"*\", \"!password*\"]\n"
		lake  = "  - name: lake\n"
		rules = lake + `    rules:
      - {tables: ["*.log_*"], omit: true}
      - {tables: ["shop.orders"], where: "amount > 10", set: {total: "price * quantity", email: "lower(email)"}, rename_columns: {id: order_id}, rename: "sales.{table}", key: [order_id]}
`
	)
	for _, c := range []struct{ text, want string }{
		{example, "e3b0c44298fc1c149afbf4c8996fb924"},
		{with(t, "\nsinks:", ofJob+"sinks:"), "9934bca970da58b5083c28fa3f13c539"},
		{with(t, "\nsinks:", ofJob+"sinks:", lake, rules), "8863f1e6a5688af2cbaf03c93fd145f6"},
		{with(t, lake, rules), "8a0f802108d13a821c88298a850d2032"},
		{with(t, lake, rules, "amount > 10", "amount > 11"), "17b1374251e2a4e0e75db0a6fb67e726"},
	} {
		if got := mustParse(t, c.text).Sinks[0].RulesSum; got != c.want {
			t.Errorf("the sum is %s, not %s, of\n%s", got, c.want, c.text)
		}
	}
}
