package s3

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// badKey says why a key is refused. Parts "." and ".." are refused although Amazon
// takes some of them: clients, proxies and services resolve them in the path of a
// request, and then another object is meant.
func badKey(key string) string {
	switch {
	case len(key) > keyBytes:
		return "with the prefix it is longer than " + strconv.Itoa(keyBytes) + " bytes"
	case !utf8.ValidString(key):
		return "it is not UTF-8"
	case strings.IndexByte(key, 0) >= 0:
		return "it has a zero byte"
	case strings.TrimSpace(key) == "":
		return "it is blank"
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "." || part == ".." {
			return "it has a part " + strconv.Quote(part)
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
