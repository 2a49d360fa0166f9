package local

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
)

const (
	nameMax = 255  // bytes of a segment: every file system in use
	pathMax = 4095 // bytes of a path that other programs can still open
)

// check refuses a key that is none, does not fit a file system or is reserved.
func (s *Store) check(key string) error {
	why := badKey(key)
	switch {
	case why != "":
	case len(s.path)+1+len(key) > pathMax:
		why = "the path is longer than " + strconv.Itoa(pathMax) + " bytes"
	case s.reserved(key):
		why = "the folder is reserved for files being written"
	default:
		return nil
	}
	return fault.New(fault.NameRefused, "%s cannot be the name of a file: %s", show(key), why).At("%s", s.path)
}

func (s *Store) reserved(key string) bool {
	return key == s.staging || strings.HasPrefix(key, s.staging+"/")
}

func badKey(key string) string {
	for seg := range strings.SplitSeq(key, "/") {
		switch {
		case seg == "":
			return "it has an empty part"
		case seg == "." || seg == "..":
			return "it has a part " + strconv.Quote(seg)
		case len(seg) > nameMax:
			return "the part " + show(seg) + " is longer than " + strconv.Itoa(nameMax) + " bytes"
		case strings.IndexByte(seg, 0) >= 0:
			return "it has a zero byte"
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

// What the names of other things in the staging folder begin with.
const (
	tmpMark    = "t-"
	batchMark  = "b-" // a folder
	uploadMark = "u-"
)

// staged returns the path of the staged file of a receipt, which may come from
// a damaged record: nothing but a staged file of exactly that key is named.
func (s *Store) stagedPath(r store.Receipt) (string, error) {
	if err := s.check(r.Key); err != nil {
		return "", fault.New(fault.TargetBroken, "a receipt is damaged: its key cannot be one").At("%s", s.path).By(err)
	}
	if p, ok := staged.Parse(r.Key, r.Staged); !ok || p.Size != r.Size || p.Checksum != r.Checksum {
		return "", fault.New(fault.TargetBroken, "the receipt of %s is damaged: key, size and checksum are not those of its staged file", show(r.Key)).
			At("%s", s.where(r.Key))
	}
	return s.staging + "/" + r.Staged, nil
}

// stageable refuses keys that a receipt, which is JSON, would not keep as they are.
func stageable(key string) bool { return utf8.ValidString(key) }

func dirOf(key string) string { return path.Dir(key) }
