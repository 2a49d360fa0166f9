package cli

import (
	"bytes"
	"testing"
	"time"

	"godwit/internal/job"
	"godwit/internal/watch"
)

// tablePage is the page of a verification of tables.
func tablePage(t *testing.T) string {
	t.Helper()
	const at = "bin.000007:8467"
	var out bytes.Buffer
	now := time.Date(2026, 11, 27, 1, 0, 0, 0, time.UTC)
	h := &htmlVerify{a: &app{p: Process{Now: func() time.Time { return now }}}, w: &out, spec: &job.Spec{Name: "shop"}}
	for _, d := range []watch.Difference{
		{Kind: "different", Key: "shop.orders id=4711", Reason: "values of total, note", Row: &watch.RowDifference{
			Table: "shop.orders", On: "lake", Source: 1, Sink: 1, SourceAt: at, SinkAt: at,
			Columns: []watch.ColumnDifference{{Column: "total", Source: "19.90", Sink: "19.9"}, {Column: "note", Source: `"a <b> & ß"`, Sink: "NULL"}},
		}},
		{Kind: "missing", Key: "shop.customers id=9", Reason: "the source has it once, the sink not at all", Row: &watch.RowDifference{
			Table: "shop.customers", On: "pg", Source: 1, SourceAt: at, SinkAt: at,
		}},
	} {
		if err := h.difference(d); err != nil {
			t.Fatal(err)
		}
	}
	err := h.end(watch.VerifyReport{
		Description: "mysql → lake (file:///data/lake), pg", Started: now, Ended: now, Read: 412 << 20,
		Equal: watch.Ended{Objects: 2_000_000}, Different: 1, Missing: 1, NotComparable: 1,
		Tables: []watch.VerifiedTable{
			{Table: "shop.orders", On: "lake", Equal: 1_500_000, Different: 1, SourceAt: at, SinkAt: at},
			{Table: "shop.customers", On: "pg", Equal: 500_000, Missing: 1, SourceAt: at, SinkAt: at, Lossy: []string{"born date as text"}},
			{Table: "shop.log", On: "lake", NotComparable: 1, NotCompared: "its snapshot is not complete in the sink"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPage_when_tables_are_verified(t *testing.T) {
	has(t, tablePage(t), "<h2>Tables</h2>", `<td class="n">1,500,000</td>`, "compared as the sink holds them: born date as text", "not compared: its snapshot is not complete",
		"<h2>Rows</h2>", "total 19.90\nnote &#34;a &lt;b&gt; &amp; ß&#34;", "The first 1,000 rows of each table", "1 missing, 1 different, 1 not comparable")
}
