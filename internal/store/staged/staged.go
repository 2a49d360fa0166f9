// Package staged has the names of files that are staged in a tree: a name is the receipt
// of its file, and no other file can be named by one. Stores of trees share it.
package staged

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/store"
)

// A staged file is called s-<hash of the key>-<nonce>-<size>-<checksum>, all in hex.
const (
	Mark       = "s-"    // what the name begins with
	NonceBytes = 12      // of a nonce, which has two digits for each
	SumPrefix  = "xxh3:" // what the checksum of a receipt begins with; its digits follow
	SumDigits  = 32      // of a checksum, and of the hash of a key
	sizeDigits = 16
	// Size is how many bytes a name has.
	Size = len(Mark) + SumDigits + 1 + 2*NonceBytes + 1 + sizeDigits + 1 + SumDigits
)

// Prefix is what the names of all staged files of a key begin with. All have one length.
func Prefix(key string) string { return Mark + Hex(xxh3.HashString128(key)) + "-" }

// Hex returns a sum as small hex digits.
func Hex(u xxh3.Uint128) string {
	b := u.Bytes()
	return hex.EncodeToString(b[:])
}

// Name is the name of a staged file of key, of so many bytes; nonce and sum are hex.
func Name(key, nonce string, size int64, sum string) string {
	digits := strconv.FormatInt(size, 16)
	return Prefix(key) + nonce + "-" + strings.Repeat("0", sizeDigits-len(digits)) + digits + "-" + sum
}

// Parse reads a receipt, but for its token, from the name of a staged file of key; false:
// it is not the name of one.
func Parse(key, name string) (store.Receipt, bool) {
	prefix := Prefix(key)
	if len(name) != Size || !strings.HasPrefix(name, prefix) {
		return store.Receipt{}, false
	}
	part := strings.Split(name[len(prefix):], "-")
	if len(part) != 3 || len(part[0]) != 2*NonceBytes || len(part[1]) != sizeDigits || len(part[2]) != SumDigits {
		return store.Receipt{}, false
	}
	if !IsHex(part[0]) || !IsHex(part[1]) || !IsHex(part[2]) {
		return store.Receipt{}, false
	}
	size, err := strconv.ParseInt(part[1], 16, 64)
	if err != nil {
		return store.Receipt{}, false
	}
	return store.Receipt{Key: key, Staged: name, Size: size, Checksum: SumPrefix + part[2]}, true
}

// IsHex reports whether s has small hex digits alone.
func IsHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
