package s3

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
	"godwit/internal/store"
)

const (
	sumPrefix    = "xxh3:"
	tokenVersion = 2
)

// token is what a receipt says besides what all receipts do. In version 2 it is
// "2:<ETag>:<storage class>:<upload>:<seal>", the values as in a URL; the upload is
// that of a staged object that was never closed. The seal is over everything, so that
// a damaged receipt is not taken for another's.
type token struct {
	etag   string
	class  string
	upload string
	parts  []store.Part // of version 1
}

func (t token) text(r store.Receipt) string {
	list := strings.Join([]string{url.QueryEscape(t.etag), url.QueryEscape(t.class), url.QueryEscape(t.upload)}, ":")
	return strconv.Itoa(tokenVersion) + ":" + list + ":" + seal(r, list)
}

func seal(r store.Receipt, list string) string {
	text := strings.Join([]string{r.Key, r.Staged, strconv.FormatInt(r.Size, 10), r.Checksum, list}, "\x00")
	b := xxh3.HashString128(text).Bytes()
	return hex.EncodeToString(b[:])
}

// tokenOf reads the token of a receipt, which may come from a damaged record.
func (s *Store) tokenOf(r store.Receipt) (token, error) {
	version, rest, _ := strings.Cut(r.Token, ":")
	at := strings.LastIndexByte(rest, ':')
	if r.Key == "" || badKey(s.at.prefix+r.Key) != "" || r.Size < 0 || r.Staged == "" || version == "" || at < 0 {
		return token{}, s.damaged(r)
	}
	if n, err := strconv.Atoi(version); err != nil {
		return token{}, s.damaged(r)
	} else if n > tokenVersion {
		return token{}, fault.New(fault.FormatNewer, "the receipt of %s is of version %s", show(r.Key), show(version)).At("%s", s.Where())
	}
	list, sealed := rest[:at], rest[at+1:]
	if sealed != seal(r, list) {
		return token{}, s.damaged(r)
	}
	t, ok := parseToken(list)
	ok = ok && len(r.Staged) == len(stagedPrefix(""))+nonceDigits && strings.HasPrefix(r.Staged, stagedPrefix(r.Key))
	if version == "1" {
		t, ok = parseUploadToken(list)
	}
	if !ok {
		return token{}, s.damaged(r)
	}
	return t, nil
}

func parseToken(list string) (token, bool) {
	f := strings.Split(list, ":")
	if len(f) != 3 {
		return token{}, false
	}
	for i := range f {
		value, err := url.QueryUnescape(f[i])
		if err != nil {
			return token{}, false
		}
		f[i] = value
	}
	return token{etag: f[0], class: f[1], upload: f[2]}, f[0] != "" || f[2] != ""
}

func (s *Store) damaged(r store.Receipt) error {
	return fault.New(fault.TargetBroken, "the receipt of %s is damaged", show(r.Key)).At("%s", s.Where())
}
