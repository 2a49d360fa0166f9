package local

import (
	"net/url"
	"path"
	"strings"

	"godwit/internal/fault"
)

// ParseURL returns the folder that a file URL names: file:///folder, absolute,
// with %XX for bytes that do not stand in URLs. Errors are JobValue.
func ParseURL(raw string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fault.New(fault.JobValue, "%s is not the URL of a folder: %s", show(raw), why).
			Try("write file:///path/to/folder, with %%20 for a space, %%23 for #, %%3F for ? and %%25 for %%")
	}
	rest, ok := cutScheme(raw)
	if !ok {
		return bad("it does not begin with file://")
	}
	host, p := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, p = rest[:i], rest[i:]
	}
	switch {
	case host != "" && !strings.EqualFold(host, "localhost"):
		return bad("it names a host; a folder of this machine has three slashes: file:///")
	case p == "":
		return bad("it has no path")
	case strings.ContainsAny(p, "?#"):
		return bad("? and # must be written %3F and %23")
	}
	p, err := url.PathUnescape(p)
	if err != nil {
		return bad("% is not followed by two hex digits")
	}
	if badPath(p) {
		return bad("the path has a zero byte or a part . or ..")
	}
	return path.Clean(p), nil
}

func cutScheme(raw string) (string, bool) {
	const scheme = "file://"
	if len(raw) < len(scheme) || !strings.EqualFold(raw[:len(scheme)], scheme) {
		return "", false
	}
	return raw[len(scheme):], true
}

func badPath(p string) bool {
	if strings.IndexByte(p, 0) >= 0 {
		return true
	}
	for seg := range strings.SplitSeq(p, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}
