// Package selection says which objects of a source a file job takes, and what
// they are called in the target.
package selection

import (
	"time"
)

// Rules are what a job file says. The zero Rules take everything under its own
// name. Globs are those of rclone: "*" and "?" stay within one part of a key,
// "**" does not; "[a-z]" and "{a,b}" are alternatives; a leading "/" holds at the
// root, otherwise a glob matches the end of a key from any "/" on; one that ends with
// "/" takes everything below.
type Rules struct {
	// Prefixes limit what is listed at all; none: everything.
	Prefixes []string
	// Include takes only keys that match one of its globs; none: all. Exclude leaves
	// out, whatever Include says.
	Include, Exclude []string
	// NewerThan and OlderThan compare with an object's time of modification; the
	// zero time: no bound. An object without a time passes.
	NewerThan, OlderThan time.Time
	// SizeMin and SizeMax are bounds in bytes, both inclusive; SizeMax 0: none.
	SizeMin, SizeMax int64
	// Rename is applied in order, the first rule that matches a key counts.
	Rename []Rename
}

// Rename gives objects another name in the target.
type Rename struct {
	From string // a prefix; with Pattern a regular expression (RE2) that must match somewhere
	To   string // what it becomes; with Pattern $1 and ${name} stand for groups
	// Pattern makes From a regular expression. The order of keys is then not kept,
	// and each target object is looked up by itself; with prefixes it is listed.
	Pattern bool
}
