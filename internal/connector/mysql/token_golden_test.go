package mysql

import (
	"encoding/hex"
	"reflect"
	"testing"

	"godwit/internal/fault"
)

// TestToken_golden holds the durable form of a place: what a target has stored must
// be read by every later version.
func TestToken_golden(t *testing.T) {
	const token = "1 mysql-bin 7 8467 0 0-1-88412,2-1-3 0-1-88412 7 8000 467 1795269920"
	p := place{log: "mariadb:1", base: "mysql-bin", file: 7, offset: 8467}
	gtids, err := parseGTIDs("0-1-88412,2-1-3")
	if err != nil {
		t.Fatal(err)
	}
	last := lastTxn{"0-1-88412", 7, 8000, 467, 1795269920}
	got := (&source{}).position(p, "0-1-88412,2-1-3", last)
	if got.Token() != token || got.Log() != "mariadb:1" {
		t.Fatalf("the token is %q in %q", got.Token(), got.Log())
	}
	if o := hex.EncodeToString([]byte(got.Order())); o != "00000007"+"000000002113"+"00000000"+"0000000000000000" {
		t.Fatalf("the order is %s", o)
	}
	back, err := parsePosition(got)
	if err != nil || !reflect.DeepEqual(back, spot{p, 0, gtids, last}) {
		t.Fatalf("read back %+v, %v", back, err)
	}
	if _, err := parseToken("mariadb:1", "2 x"); !fault.Has(err, fault.FormatNewer) {
		t.Fatalf("a newer token: %v", err)
	}
}
