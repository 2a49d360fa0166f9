package local

import (
	"slices"
	"testing"
)

func TestParseMounts_when_names_have_spaces(t *testing.T) {
	got := parseMounts("24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" +
		`36 24 98:0 /a\040b\134c /mnt/d\011e rw - xfs /dev/sdb rw` + "\nshort line\n")
	want := mounts{{"8:1", "/", "/"}, {"98:0", `/a b\c`, "/mnt/d\te"}}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(mountTable()) == 0 {
		t.Error("nothing is mounted")
	}
}
