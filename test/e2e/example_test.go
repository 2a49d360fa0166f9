package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/test/judge"
	"godwit/test/servers/mariadb"
)

// TestExample_of_a_warehouse runs examples/warehouse.yaml on the example's shop, changes
// that, runs it again and verifies.
func TestExample_of_a_warehouse(t *testing.T) {
	t.Parallel()
	s, pg := mariadb.Start(t), newShop(t)
	for _, file := range []string{"shop.sql", "shop-user.sql"} {
		sql, err := os.ReadFile(filepath.Join("../../examples", file))
		if err != nil {
			t.Fatal(err)
		}
		s.Exec(t, string(sql))
	}
	for _, statement := range fromTutorial(t, "psql <<END\n", "END\n") {
		pg.server.Exec(t, strings.ReplaceAll(statement, "$WAREHOUSE_PASSWORD", "of-the-warehouse"))
	}
	who := caller{env: []string{"SHOP_PASSWORD=choose-your-own", "WAREHOUSE_PASSWORD=of-the-warehouse"}}
	text, err := os.ReadFile("../../examples/warehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lake, file := filepath.Join(dir, "lake"), filepath.Join(dir, "warehouse.yaml")
	job := strings.NewReplacer("127.0.0.1:3306", s.Addr(), "127.0.0.1:5432", pg.server.Addr(), "/data/lake", lake).Replace(string(text))
	if err := os.WriteFile(file, []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) string {
		code, said := who.run(t, "", append(args, file, "--state", filepath.Join(dir, "state"))...)
		want(t, code, said, 0)
		return said
	}
	code, said := who.run(t, "", "preview", file)
	want(t, code, said, 0)
	ask("run")
	s.Exec(t, "UPDATE shop.orders SET status = 'new' WHERE id % 50 = 0; UPDATE shop.customers SET name = CONCAT(name, '!') WHERE id < 100; DELETE FROM shop.order_items LIMIT 500")
	ask("run")
	ask("verify")
	if said := ask("dead-letters"); strings.Contains(said, "ROW_REFUSED") {
		t.Errorf("rows were put aside:\n%s", said)
	}
	warehouse := pg.server.In("warehouse")
	got, want := warehouse.Query(t, "SELECT count(*), sum(total) FROM shop.orders"), s.Query(t, "SELECT COUNT(*), SUM(total) FROM shop.orders WHERE status <> 'new'")
	if got[0][0] != want[0][0] || got[0][1] != want[0][1] {
		t.Errorf("the warehouse has orders %v, the shop %v", got, want)
	}
	columns := judge.DuckDB(t).Query(t, "SELECT string_agg(column_name, ' ') FROM (DESCRIBE FROM read_parquet("+judge.Literal(filepath.Join(lake, "shop/customers/*.parquet"))+"))")
	if strings.Contains(columns[0][0], "name") || !strings.Contains(columns[0][0], "email") {
		t.Errorf("the lake has customers with %s", columns)
	}
}

// fromTutorial are the lines of a block that the tutorial has people paste.
func fromTutorial(t *testing.T, begin, end string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, there := strings.Cut(string(text), begin)
	block, _, ended := strings.Cut(rest, end)
	if !there || !ended {
		t.Fatalf("the tutorial has no block %q", begin)
	}
	return strings.Split(strings.TrimSpace(block), "\n")
}
