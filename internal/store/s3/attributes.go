package s3

import (
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"godwit/internal/store"
)

// What a file has besides its contents is kept in user metadata under the keys
// and in the forms that rclone uses: mtime in seconds since 1970 with a fraction,
// mode in octal with the type of the file, uid and gid in decimal.
const (
	metaTime  = "mtime"
	metaMode  = "mode"
	metaUID   = "uid"
	metaGID   = "gid"
	metaNonce = "godwit-nonce"

	metaPrefix  = "X-Amz-Meta-"
	regularFile = 0o100000
)

// putOptions makes the headers of a request that stores an object.
func (s *Store) putOptions(a store.Attributes) minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType: a.ContentType, ContentEncoding: a.Encoding, ContentLanguage: a.Language,
		ContentDisposition: a.Disposition, CacheControl: a.CacheControl,
		StorageClass: a.Class, UserTags: a.Tags, UserMetadata: metadataOf(a),
		DisableContentSha256: true, // the body is announced by its MD5; hashing it twice is dear
	}
	if o.StorageClass == "" {
		o.StorageClass = s.class
	}
	return o
}

// metadataOf returns the user metadata with the headers' names.
func metadataOf(a store.Attributes) map[string]string {
	m := map[string]string{}
	set := func(key, value string) {
		if isToken(key) {
			m[metaPrefix+key] = headerText(value)
		}
	}
	for k, v := range a.Metadata {
		set(k, v)
	}
	if !a.Modified.IsZero() {
		set(metaTime, formatTime(a.Modified))
	}
	if a.Mode != nil {
		set(metaMode, "0"+strconv.FormatUint(uint64(regularFile|unixMode(*a.Mode)), 8))
	}
	if a.Owner != nil {
		set(metaUID, strconv.Itoa(a.Owner.UID))
		set(metaGID, strconv.Itoa(a.Owner.GID))
	}
	return m
}

// attributesOf reads the attributes of an answer, without the tags.
func attributesOf(h http.Header) *store.Attributes {
	a := &store.Attributes{
		ContentType: h.Get("Content-Type"), Encoding: h.Get("Content-Encoding"), Language: h.Get("Content-Language"),
		Disposition: h.Get("Content-Disposition"), CacheControl: h.Get("Cache-Control"), Class: h.Get("X-Amz-Storage-Class"),
	}
	a.Encoding = strings.TrimSuffix(strings.TrimSuffix(a.Encoding, "aws-chunked"), ",") // of the request, kept by some services
	if a.Class == "STANDARD" {
		a.Class = ""
	}
	m := map[string]string{}
	for name, values := range h {
		if key, ok := strings.CutPrefix(name, metaPrefix); ok && len(values) > 0 {
			m[strings.ToLower(key)] = plainText(values[0])
		}
	}
	delete(m, metaNonce)
	posix(a, m)
	if len(m) > 0 {
		a.Metadata = m
	}
	return a
}

// posix takes out of m what is an attribute of its own. What cannot be read
// stays metadata.
func posix(a *store.Attributes, m map[string]string) {
	if t, ok := parseTime(m[metaTime]); ok {
		a.Modified = t
		delete(m, metaTime)
	}
	if bits, err := strconv.ParseUint(m[metaMode], 8, 32); err == nil {
		mode := fileMode(uint32(bits))
		a.Mode = &mode
		delete(m, metaMode)
	}
	uid, err1 := strconv.Atoi(m[metaUID])
	gid, err2 := strconv.Atoi(m[metaGID])
	if err1 == nil && err2 == nil && uid >= 0 && gid >= 0 {
		a.Owner = &store.Owner{UID: uid, GID: gid}
		delete(m, metaUID)
		delete(m, metaGID)
	}
}

// The bits above the permissions, as in a file's mode and as in Go's.
var highBits = []struct {
	unix uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for _, b := range highBits {
		if m&b.mode != 0 {
			bits |= b.unix
		}
	}
	return bits
}

func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits) & fs.ModePerm
	for _, b := range highBits {
		if bits&b.unix != 0 {
			m |= b.mode
		}
	}
	return m
}

// formatTime writes seconds with as many digits of the fraction as are needed.
func formatTime(t time.Time) string {
	sec, nsec := t.Unix(), int64(t.Nanosecond())
	if nsec == 0 {
		return strconv.FormatInt(sec, 10)
	}
	sign := ""
	if sec < 0 { // -1.25 is two seconds before, and three quarters on
		sign, sec, nsec = "-", -sec-1, 1e9-nsec
	}
	fraction := strconv.FormatInt(nsec, 10)
	fraction = strings.Repeat("0", 9-len(fraction)) + fraction
	return sign + strconv.FormatInt(sec, 10) + "." + strings.TrimRight(fraction, "0")
}

// parseTime reads what formatTime writes, and times of RFC 3339, which rclone
// takes too.
func parseTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec > 1<<40 || sec < -1<<40 {
		return time.Time{}, false
	}
	digits := fraction
	if len(digits) > 9 {
		digits = digits[:9]
	}
	digits += strings.Repeat("0", 9-len(digits))
	nsec, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || nsec < 0 {
		return time.Time{}, false
	}
	if strings.HasPrefix(whole, "-") {
		nsec = -nsec
	}
	return time.Unix(sec, nsec), true
}

// headerText makes a value that can stand in a header; others than plain ASCII
// are encoded as RFC 2047 says, as Amazon does in its answers.
func headerText(s string) string {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
		}
	}
	return s
}

func plainText(s string) string {
	if !strings.HasPrefix(s, "=?") {
		return s
	}
	var d mime.WordDecoder
	if text, err := d.DecodeHeader(s); err == nil {
		return text
	}
	return s
}

// isToken reports whether s can be the name of a header.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
