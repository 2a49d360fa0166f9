package token

import (
	"crypto/rand"
	"hash/crc32"
	"math/big"
	"strings"
)

// A token's text is gdw_, 256 random bits as 43 base62 digits, and the CRC-32 of
// these digits as 6 more: secret scanners find it by gdw_[0-9A-Za-z]{49}, a double
// click selects all of it, and one that was mistyped or cut off is told from one
// that is unknown without a look at what is stored.
const (
	prefix    = "gdw_"
	bodyWidth = 43
	sumWidth  = 6
)

// mint returns the text of a new token.
func mint() string {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // it never fails
	body := base62(new(big.Int).SetBytes(bits[:]), bodyWidth)
	return prefix + body + checksum(body)
}

func base62(n *big.Int, width int) string {
	digits := n.Text(62)
	return strings.Repeat("0", width-len(digits)) + digits
}

func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), sumWidth)
}

// whole reports whether a text has the form of a token and its checksum.
func whole(text string) bool {
	rest, ours := strings.CutPrefix(text, prefix)
	return ours && len(rest) == bodyWidth+sumWidth && checksum(rest[:bodyWidth]) == rest[bodyWidth:]
}
