package hdfs

import (
	"encoding/hex"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// What a name node takes unless it is set otherwise.
const (
	nameMax  = 255  // bytes of a part
	pathMax  = 8000 // bytes; the name node counts characters
	depthMax = 1000 // parts of a path
)

// check refuses a key that is none, does not fit HDFS or is reserved.
func (s *Store) check(key string) error {
	why := badKey(key)
	switch {
	case why != "":
	case len(s.root)+1+len(key) > pathMax:
		why = "the path is longer than " + strconv.Itoa(pathMax) + " bytes"
	case strings.Count(s.root, "/")+1+strings.Count(key, "/") > depthMax:
		why = "the path has more than " + strconv.Itoa(depthMax) + " parts"
	case s.reserved(key):
		why = "the folder is reserved for files being written"
	case s.root == "/" && (key == ".reserved" || strings.HasPrefix(key, ".reserved/")):
		why = "HDFS keeps /.reserved for itself"
	default:
		return nil
	}
	return fault.New(fault.NameRefused, "%s cannot be the name of a file in HDFS: %s", show(key), why).At("%s", s.Where())
}

func (s *Store) reserved(key string) bool {
	return key == s.staging || strings.HasPrefix(key, s.staging+"/")
}

func badKey(key string) string {
	if !utf8.ValidString(key) {
		return "it is not UTF-8"
	}
	if strings.IndexByte(key, 0) >= 0 {
		return "it has a zero byte"
	}
	for seg := range strings.SplitSeq(key, "/") {
		switch {
		case seg == "":
			return "it has an empty part"
		case seg == "." || seg == "..":
			return "it has a part " + strconv.Quote(seg)
		case seg == ".snapshot":
			return "HDFS keeps .snapshot for itself"
		case strings.Contains(seg, ":"):
			return "it has a colon"
		case len(seg) > nameMax:
			return "the part " + show(seg) + " is longer than " + strconv.Itoa(nameMax) + " bytes"
		}
	}
	return ""
}

// show quotes a name, cut to a length a message can bear.
func show(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// A staged file is called s-<hash of the key>-<nonce>-<size>-<checksum>, all in
// hex: its name is its receipt, and no other file can be named by one. The token of
// the receipt is the file's id, which it keeps when it is renamed.
const (
	stagedMark = "s-"
	tmpMark    = "t-"
	nonceBytes = 12
	sumPrefix  = "xxh3:"
	sumDigits  = 32
	sizeDigits = 16
	stagedSize = len(stagedMark) + sumDigits + 1 + 2*nonceBytes + 1 + sizeDigits + 1 + sumDigits
)

func stagedPrefix(key string) string {
	return stagedMark + hexSum(xxh3.HashString128(key)) + "-"
}

func hexSum(u xxh3.Uint128) string {
	b := u.Bytes()
	return hex.EncodeToString(b[:])
}

func stagedName(key, nonce string, size int64, sum string) string {
	digits := strconv.FormatInt(size, 16)
	return stagedPrefix(key) + nonce + "-" + strings.Repeat("0", sizeDigits-len(digits)) + digits + "-" + sum
}

// parseStaged reads a receipt, but for its token, from the name of a staged file of
// key.
func parseStaged(key, name string) (store.Receipt, bool) {
	prefix := stagedPrefix(key)
	if len(name) != stagedSize || !strings.HasPrefix(name, prefix) {
		return store.Receipt{}, false
	}
	part := strings.Split(name[len(prefix):], "-")
	if len(part) != 3 || len(part[0]) != 2*nonceBytes || len(part[1]) != sizeDigits || len(part[2]) != sumDigits {
		return store.Receipt{}, false
	}
	if !isHex(part[0]) || !isHex(part[1]) || !isHex(part[2]) {
		return store.Receipt{}, false
	}
	size, err := strconv.ParseInt(part[1], 16, 64)
	if err != nil {
		return store.Receipt{}, false
	}
	return store.Receipt{Key: key, Staged: name, Size: size, Checksum: sumPrefix + part[2]}, true
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// stagedKey returns where the staged file of a receipt is, which may come from a
// damaged record: nothing but a staged file of exactly that key is named.
func (s *Store) stagedKey(r store.Receipt) (string, error) {
	if err := s.check(r.Key); err != nil {
		return "", fault.New(fault.TargetBroken, "a receipt is damaged: its key cannot be one").At("%s", s.Where()).By(err)
	}
	if p, ok := parseStaged(r.Key, r.Staged); !ok || p.Size != r.Size || p.Checksum != r.Checksum {
		return "", fault.New(fault.TargetBroken, "the receipt of %s is damaged: key, size and checksum are not those of its staged file", show(r.Key)).
			At("%s", s.where(r.Key))
	}
	return s.staging + "/" + r.Staged, nil
}

func dirOf(key string) string { return path.Dir(key) }
