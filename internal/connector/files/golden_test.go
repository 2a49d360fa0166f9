package files

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
	"godwit/internal/store"
	"godwit/test/golden"
)

func TestRecord_golden(t *testing.T) {
	receipt := store.Receipt{Key: "shop/orders/stream-2-1.csv", Staged: "s-1", Size: 7, Checksum: "xxh3:00000000000000000000000000000001"}
	r := &record{
		Version: recordVersion, N: 7, Epoch: 2, Claim: connector.Claim{Run: 3, Attempt: 1}, Nonce: "000102030405060708090a0b0c0d0e0f",
		Written: time.Date(2026, 11, 21, 14, 5, 20, 0, time.UTC), Positions: emptySet(), Carried: true, Seq: 1,
		Receipts: []store.Receipt{receipt}, Unswept: []span{{1, 4}},
	}
	golden.Same(t, "testdata/record-v1.json", r.encode())
	b, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodeRecord(b, 7); err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("read back %+v, %v", back, err)
	}
	if _, err := decodeRecord([]byte(`{"version":2}`), 7); !fault.Has(err, fault.FormatNewer) {
		t.Fatalf("a newer record: %v", err)
	}
	body, s, err := encodeSide("_godwit/shards/stream/", r)
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/side-v1.json", append(body, '\n'))
	if back, err := decodeSide(body, s); err != nil || !reflect.DeepEqual(back, r.Receipts) {
		t.Fatalf("read back %+v, %v", back, err)
	}
}

func TestOwner_golden(t *testing.T) {
	b, err := json.MarshalIndent(owner{Version: ownerVersion, Job: "shop-to-lake", Sink: "lake", Layout: "changelog", Format: "csv",
		Options: map[string]string{"null": `\N`}, FoldCase: true}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/owner-v1.json", append(b, '\n'))
}

func TestVersion_golden(t *testing.T) {
	v := version{Version: 1, Folder: "shop/orders/", Since: "0000", Renamed: map[string]string{"b": "a"},
		Table: &row.Table{Name: row.Name{Space: "shop", Table: "orders"}, Number: 1, Version: 2, Key: []int{0},
			Columns: []row.Column{{Name: "b", Type: row.Type{Kind: row.Int, Size: 4, Native: "int(11)"}}}}}
	for _, file := range []string{"testdata/table-v1.json", "testdata/table-v2.json"} {
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Same(t, file, append(b, '\n'))
		if back, err := decodeVersion(b); err != nil || !reflect.DeepEqual(*back, v) {
			t.Fatalf("read back %+v, %v", back, err)
		}
		v.Version, v.Folder, v.Own = versionVersion, "shop/orders~1/", "~1"
	}
}
