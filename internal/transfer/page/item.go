// Package page is the durable work list of a file job: what listing has found and
// decided, in pages on disk, and what has become of each object.
package page

import (
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// Action is what comparing source and target has decided for an object.
type Action string

// Actions. Only Copy, Delete and Erase are work; the others are final.
const (
	Copy   Action = "copy"
	Same   Action = "same"   // the target has it already
	Skip   Action = "skip"   // the job's rules leave what is there as it is
	Delete Action = "delete" // in the target only
	Erase  Action = "erase"  // Same, and the source is to be deleted after verification
	Refuse Action = "refuse" // cannot be copied: Code and Reason say why
)

// Item is an object and what is to be done with it. It is plain data with a version
// (docs/formats/pages.md).
type Item struct {
	Key      string      `json:"key"`            // in the source; of a Delete: empty
	Name     string      `json:"name,omitempty"` // key in the target; empty: as Key
	Size     int64       `json:"size"`
	Modified time.Time   `json:"modified,omitzero"`
	Version  string      `json:"version,omitempty"`
	Sums     []store.Sum `json:"sums,omitempty"`
	Action   Action      `json:"action"`
	Code     fault.Code  `json:"code,omitempty"`   // of Refuse
	Reason   string      `json:"reason,omitempty"` // one clause: "new", "size differs", "the source is newer"
}

// Target returns the item's key in the target.
func (i Item) Target() string {
	if i.Name != "" {
		return i.Name
	}
	return i.Key
}

// Object returns the source object that the listing saw.
func (i Item) Object() store.Object {
	return store.Object{Key: i.Key, Size: i.Size, Modified: i.Modified, Version: i.Version, Sums: i.Sums}
}

// State is what has become of an object: exactly one for each that was listed.
type State string

// States.
const (
	Copied    State = "copied"
	Unchanged State = "same"
	Skipped   State = "skipped"
	Deleted   State = "deleted" // in the target
	Failed    State = "failed"
	Gone      State = "gone" // vanished from the source before it was read
)

// Outcome is how an object ended.
type Outcome struct {
	State    State      `json:"state"`
	Code     fault.Code `json:"code,omitempty"`  // of Failed and Gone
	Error    string     `json:"error,omitempty"` // for people, with cause and hint; no secrets
	Bytes    int64      `json:"bytes,omitempty"` // sent in this run, repetitions included
	Attempts int        `json:"attempts,omitempty"`
	How      string     `json:"how,omitempty"`     // "put", "batch", "parts", "server"
	Checked  string     `json:"checked,omitempty"` // how the copy was verified: an algorithm, or "size"
	Sum      store.Sum  `json:"sum,omitzero"`      // of the contents, when it was computed
	Erased   bool       `json:"erased,omitempty"`  // the source was deleted after verification
	At       time.Time  `json:"at"`
	Millis   int64      `json:"ms"`
}
