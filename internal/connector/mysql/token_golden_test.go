package mysql

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
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

// TestToken_golden_of_MySQL is the same with a set of GTIDs, and of a place before
// which no transaction is known.
func TestToken_golden_of_MySQL(t *testing.T) {
	const set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,4e11fa47-71ca-11e1-9e33-c80aa9429562:9"
	p := place{log: "mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562", base: "bin", file: 7, offset: 8467}
	for token, want := range map[string]struct {
		gtids string
		last  lastTxn
	}{
		"1 bin 7 8467 0 " + set + " 3e11fa47-71ca-11e1-9e33-c80aa9429562:7@1795269920123456 7 8000 467 1795269920": {set, lastTxn{"3e11fa47-71ca-11e1-9e33-c80aa9429562:7@1795269920123456", 7, 8000, 467, 1795269920}},
		"1 bin 7 8467 0 ? file 7 0 0 1795269920":                   {"?", lastTxn{fileBegun, 7, 0, 0, 1795269920}},
		"1 bin 7 8467 0 ? @1795269920123456 7 8000 467 1795269920": {"?", lastTxn{"@1795269920123456", 7, 8000, 467, 1795269920}},
	} {
		got := (&source{}).position(p, want.gtids, want.last)
		if got.Token() != token {
			t.Errorf("the token is\n%s, not\n%s", got.Token(), token)
		}
		back, err := parsePosition(got)
		if err != nil || back.place != p || back.gtids.String() != want.gtids || back.last != want.last {
			t.Errorf("read back %+v, %v", back, err)
		}
	}
	many := "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	for i := range 3000 {
		many += fmt.Sprintf(":%d", 2*i+1)
	}
	got := (&source{}).position(p, many, lastTxn{})
	if back, err := parsePosition(got); err != nil || !back.gtids.unknown {
		t.Errorf("a set that is too long for a token: %.80s, %v", got.Token(), err)
	}
}

func TestGTIDs_when_sets_are_read_and_grow(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	read := func(text string) gtidState {
		s, err := parseGTIDs(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := read(b + ":1-3,\n" + strings.ToUpper(a) + ":5:1-2")
	for _, n := range []uint64{4, 3, 9} {
		s.set(gtid{uuid: s.sets[0].uuid, seq: n})
	}
	if got, want := s.String(), a+":1-5:9,"+b+":1-3"; got != want {
		t.Fatalf("%s, not %s", got, want)
	}
	for part, has := range map[string]bool{"": true, a + ":2-4": true, a + ":9," + b + ":1": true, a + ":5-6": false, a + ":6": false, "5" + a[1:] + ":1": false} {
		if s.has(read(part)) != has {
			t.Errorf("has %q: %v", part, !has)
		}
	}
	for _, bad := range []string{a, a + ":", a + ":0", a + ":5-4", a + ":x", a[1:] + ":1", "0-1-2," + a + ":1", a + ":tag:1"} {
		if _, err := parseGTIDs(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
