package hdfs

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/staged"
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

// tmpMark begins the names of files that are being written.
const tmpMark = "t-"

// stagedKey returns where the staged file of a receipt is, which may come from a
// damaged record: nothing but a staged file of exactly that key is named.
func (s *Store) stagedKey(r store.Receipt) (string, error) {
	if err := s.check(r.Key); err != nil {
		return "", fault.New(fault.TargetBroken, "a receipt is damaged: its key cannot be one").At("%s", s.Where()).By(err)
	}
	if p, ok := staged.Parse(r.Key, r.Staged); !ok || p.Size != r.Size || p.Checksum != r.Checksum {
		return "", fault.New(fault.TargetBroken, "the receipt of %s is damaged: key, size and checksum are not those of its staged file", show(r.Key)).
			At("%s", s.where(r.Key))
	}
	return s.staging + "/" + r.Staged, nil
}

func dirOf(key string) string { return path.Dir(key) }
