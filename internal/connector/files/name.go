package files

import (
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"

	"godwit/internal/fault"
)

// Keys in a target (docs/formats/target-folder.md). Everything of godwit's own
// lies in one folder whose name begins with "_", which readers of folders of
// tables skip.
const (
	control   = "_godwit/"
	ownerKey  = control + "owner.json"
	statusKey = control + "status.json"
	onceDir   = control + "once/"
	shardsDir = control + "shards/"
	tablesDir = control + "tables/"
)

// StagingDir is where a store that has staged files in the same tree keeps them, so
// that a target has one folder that is not a table's.
const StagingDir = "_godwit/staging"

// maxName bounds one segment of a key: file systems take 255 bytes, and a store
// may add to the name of what it stages.
const maxName = 160

// names turns names of a source into segments of keys.
type names struct {
	// fold says that the store takes "A" and "a" for one name: capital letters
	// are then escaped as well.
	fold bool
	path *pattern
}

// escape returns s as one segment of a key. Letters, digits, "-" and "_" stand for
// themselves, except "_" in front, which readers take for hidden; every other
// byte of the UTF-8 form becomes % and two capital hex digits, and the empty name
// "%": it can be undone. A result longer than maxName is cut and ends in "%~" and
// the xxh3 hash of s, which only the status file can undo.
func (n names) escape(s string) string {
	if s == "" {
		return "%"
	}
	var b strings.Builder
	cut := 0
	for i := range len(s) {
		c := s[i]
		if n.plain(c) && !(i == 0 && c == '_') {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
		if b.Len() <= maxName-2-32 {
			cut = b.Len()
		}
	}
	if b.Len() <= maxName {
		return b.String()
	}
	h := xxh3.HashString128(s).Bytes()
	return fmt.Sprintf("%s%%~%x", b.String()[:cut], h)
}

func (n names) plain(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		return true
	case c >= 'A' && c <= 'Z':
		return !n.fold
	}
	return false
}

// folder returns the folder of a table's files, with a trailing "/". suffix tells it from
// that of another table which had the name before; no name becomes one with "~" and digits.
func (n names) folder(space, table, suffix string) string {
	return n.path.folder(n, space, table, suffix)
}

// fileName returns the name of file seq of an epoch of a task. Both count up and
// an epoch has one owner, so no name is ever used twice.
func fileName(task string, epoch, seq uint64, extension string) string {
	return fmt.Sprintf("%s-%d-%d.%s", task, epoch, seq, extension)
}

// maxTask bounds a task's name, so that file names stay short.
const maxTask = 100

// checkTask refuses a task that cannot be part of a file's name.
func checkTask(task string) error {
	if task == "" || len(task) > maxTask || task[0] == '.' || !made(task, ".-") {
		return fault.New(fault.Internal, "a shard's task is 1 to %d characters of [a-z0-9.-], not %q", maxTask, task)
	}
	return nil
}

// maxOnceKey bounds a key given to Once.
const maxOnceKey = 200

// onceKey returns where the value of a Once key is kept. The "=" keeps the value
// of "a" apart from the folder of "a/b".
func onceKey(key string) (string, error) {
	if key == "" || len(key) > maxOnceKey {
		return "", fault.New(fault.Internal, "a key to keep a value under has 1 to %d bytes, not %d", maxOnceKey, len(key))
	}
	for _, segment := range strings.Split(key, "/") {
		if segment == "" || segment == "." || segment == ".." || !made(segment, "._-") {
			return "", fault.New(fault.Internal, "a key to keep a value under is a path of [a-z0-9._-], not %q", key)
		}
	}
	return onceDir + key + "=", nil
}

// made reports whether s is made of small letters, digits and the others.
func made(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}
