package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/store"
)

// recordVersion is the form that is written (docs/formats/commit-record.md).
const recordVersion = 1

// sideVersion is the form of the objects that hold many receipts.
const sideVersion = 1

// Bounds of what is read back.
const (
	maxRecordBytes = 4 << 20
	maxSideBytes   = 64 << 20
	maxInline      = 256     // receipts in the record itself
	maxInlineBytes = 1 << 20 // and their bytes
	maxUnswept     = 32
	maxFolders     = 200
)

// record is one act of a shard: that its positions moved together with the files
// named, or that a writer took the shard over. The greatest number is the truth.
type record struct {
	Version int             `json:"version"`
	N       uint64          `json:"n"`
	Epoch   uint64          `json:"epoch"`
	Claim   connector.Claim `json:"claim"`
	// Nonce tells this record from another writer's under the same number.
	Nonce     string    `json:"nonce"`
	Written   time.Time `json:"written"`
	Positions []byte    `json:"positions"` // binary form of the Set
	// Carried: a writer opened the shard here; the receipts are those of the
	// record before, which may not be published yet.
	Carried bool `json:"carried,omitempty"`
	// Seq is the last number given to a file of this epoch.
	Seq      uint64          `json:"seq"`
	Receipts []store.Receipt `json:"receipts,omitempty"`
	// Side names the object that has the receipts when they are many.
	Side *side `json:"side,omitempty"`
	// Left is what was left out of files, as the job asks for, since the shard began.
	Left left `json:"left_out,omitzero"`
	// Folders are those of files of this epoch, where a path divides tables: the latest.
	Folders []string `json:"folders,omitempty"`
	// Unswept names files that may have been staged and that no record names.
	Unswept []span `json:"unswept,omitempty"`
}

// side is an object with receipts, named with the checksum of its bytes.
type side struct {
	Key      string `json:"key"`
	Size     int64  `json:"size"`
	Checksum string `json:"checksum"`
	Receipts int    `json:"receipts"`
}

// sideBody is what that object holds.
type sideBody struct {
	Version  int             `json:"version"`
	Receipts []store.Receipt `json:"receipts"`
}

// span is the files of an epoch from a seq on.
type span struct {
	Epoch uint64 `json:"epoch"`
	From  uint64 `json:"from"`
}

// set decodes the positions.
func (r *record) set() (position.Set, error) {
	s, err := position.UnmarshalSet(r.Positions)
	switch {
	case errors.Is(err, position.ErrNewerFormat):
		return nil, fault.New(fault.FormatNewer, "the positions of a commit record are of a newer form").By(err)
	case err != nil:
		return nil, fault.New(fault.TargetBroken, "the positions of a commit record cannot be read").By(err)
	}
	return s, nil
}

// encode returns the stored form.
func (r *record) encode() []byte {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}

// decodeRecord reads the record stored under number n.
func decodeRecord(b []byte, n uint64) (*record, error) {
	var r record
	if err := decodeJSON(b, recordVersion, &r); err != nil {
		return nil, err
	}
	switch {
	case r.N != n:
		return nil, broken("it says that its number is %d", r.N)
	case r.Epoch == 0 || r.Nonce == "" || len(r.Positions) == 0:
		return nil, broken("epoch, nonce or positions are missing")
	case r.Side != nil && len(r.Receipts) > 0:
		return nil, broken("it has receipts twice")
	}
	return &r, checkReceipts(r.Receipts)
}

func checkReceipts(rs []store.Receipt) error {
	for _, r := range rs {
		if !ofTable(r.Key) || r.Size < 0 {
			return broken("a receipt names %q", r.Key)
		}
	}
	return nil
}

// broken is completed with the key by whoever knows it.
func broken(format string, args ...any) *fault.Error {
	return fault.New(fault.TargetBroken, "a control file is not as it was written").By(fmt.Errorf(format, args...))
}

// decodeJSON reads one of the control folder's documents into v, refusing what a
// newer version wrote before anything else is looked at.
func decodeJSON(b []byte, version int, v any) error {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return broken("%w", err)
	}
	switch {
	case head.Version > version:
		return fault.New(fault.FormatNewer, "a control file is of version %d; this program knows %d", head.Version, version)
	case head.Version < 1:
		return broken("it has no version")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return broken("%w", err)
	}
	return nil
}

// encodeSide returns the stored form of many receipts and what names it.
func encodeSide(dir string, r *record) ([]byte, *side, error) {
	b, err := json.Marshal(sideBody{sideVersion, r.Receipts})
	if err != nil {
		panic(err) // plain data
	}
	if len(b) > maxSideBytes {
		return nil, nil, fault.New(fault.Internal, "one commit of %d files is more than can be recorded", len(r.Receipts)).
			Try("raise roll.size")
	}
	sum := checksum(b)
	_, hex, _ := strings.Cut(sum, ":")
	key := fmt.Sprintf("%sreceipts/%020d-%020d-%s.json", dir, r.Epoch, r.N, hex)
	return b, &side{key, int64(len(b)), sum, len(r.Receipts)}, nil
}

func decodeSide(b []byte, s *side) ([]store.Receipt, error) {
	if int64(len(b)) != s.Size || checksum(b) != s.Checksum {
		return nil, broken("size or checksum differ from what its record says")
	}
	var body sideBody
	if err := decodeJSON(b, sideVersion, &body); err != nil {
		return nil, err
	}
	if len(body.Receipts) != s.Receipts {
		return nil, broken("it has %d receipts, not %d", len(body.Receipts), s.Receipts)
	}
	return body.Receipts, checkReceipts(body.Receipts)
}

func checksum(b []byte) string { return fmt.Sprintf("xxh3:%x", xxh3.Hash128(b).Bytes()) }

const (
	numberDigits = 20
	doneSuffix   = ".done"
)

// parseNumber reads the last segment of a record's key. ok is false for what is
// neither a record nor the note that one is done.
func parseNumber(name string) (n uint64, done, ok bool) {
	name, done = strings.CutSuffix(name, doneSuffix)
	if len(name) != numberDigits {
		return 0, false, false
	}
	n, err := strconv.ParseUint(name, 10, 64)
	return n, done, err == nil && n > 0
}
