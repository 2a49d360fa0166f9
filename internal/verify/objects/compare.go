package objects

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
)

// tries bounds how often an object is compared that changes meanwhile, or whose
// store fails in passing.
const tries = 4

// compare finds the verdict on a subject. The error ends the verification.
func (j *job) compare(ctx context.Context, s subject) (Finding, error) {
	var f Finding
	var err error
	for try := 1; ; try++ {
		if f, err = j.once(ctx, &s); err == nil {
			err = j.settle(ctx, &s, f)
		}
		switch {
		case err == nil:
			return f, nil
		case jobWide(ctx, err):
			return f, err
		case errors.Is(err, store.ErrNotFound):
			err = store.ErrChanged
		case !errors.Is(err, store.ErrChanged) && fault.ClassOf(err) != fault.Retry:
			return s.unreadable(err), nil
		}
		if try == tries {
			break
		}
		if serr := j.again(ctx, &s); serr != nil {
			if jobWide(ctx, serr) {
				return f, serr
			}
			return s.unreadable(serr), nil
		}
	}
	if errors.Is(err, store.ErrChanged) {
		f = s.finding(Changing, "", "it changed each time it was read")
		return f, nil
	}
	return s.unreadable(err), nil
}

// again asks both stores anew for what is there now.
func (j *job) again(ctx context.Context, s *subject) (err error) {
	if s.key != "" {
		if s.source, err = store.Find(ctx, j.Source, s.key); err != nil {
			return err
		}
	}
	s.target, err = store.Find(ctx, j.Target, s.name)
	s.looked, s.refused = false, fault.Has(err, fault.NameRefused)
	if s.refused && s.marksFolder() {
		return nil
	}
	return err
}

// marksFolder reports whether an object stands for a folder, as consoles of buckets
// make them. A target with folders refuses its name, and needs none: no job copies it.
func (s *subject) marksFolder() bool {
	return s.source != nil && s.source.Size == 0 && strings.HasSuffix(s.key, "/") && strings.HasSuffix(s.name, "/")
}

// once compares one time.
func (j *job) once(ctx context.Context, s *subject) (Finding, error) {
	if s.err != nil {
		return s.unreadable(s.err), nil //nolint:nilerr // a finding, not a failure of the verification
	}
	if s.looked || s.source == nil && s.key != "" || s.target == nil && s.marksFolder() {
		if err := j.again(ctx, s); err != nil {
			return Finding{}, err
		}
	}
	switch {
	case s.source == nil && s.target == nil:
		return s.finding(Equal, "absence", "it is on neither side any more"), nil
	case s.target == nil && s.refused && s.marksFolder():
		return s.finding(Equal, "folder", "it marks a folder; the target has folders of its own"), nil
	case s.target == nil:
		return s.finding(Missing, "listing", "it is not in the target"), nil
	case s.source == nil:
		return s.finding(Extra, "listing", "it is in the target only"), nil
	case s.source.Size != s.target.Size:
		return s.finding(Different, "size", fmt.Sprintf("the sizes differ: %d and %d bytes", s.source.Size, s.target.Size)), nil
	case j.Strength == Sizes:
		return s.finding(Equal, "size", ""), nil
	case j.Strength == Bytes:
		return j.byBytes(ctx, s)
	}
	return j.bySums(ctx, s)
}

// settle looks a second time before it says that something is wrong: the two
// listings are of two moments, and the job may be running. ErrChanged: s is
// something else now, to be compared again.
func (j *job) settle(ctx context.Context, s *subject, f Finding) error {
	if f.Verdict != Missing && f.Verdict != Extra && f.Verdict != Different {
		return nil
	}
	now := *s
	if now.key == "" {
		now.key = now.origin // it may have come to the source meanwhile
	}
	if err := j.again(ctx, &now); err != nil {
		return err
	}
	if same(s.source, now.source) && same(s.target, now.target) {
		return nil
	}
	*s = now
	return store.ErrChanged
}

func same(a, b *store.Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Size == b.Size && a.Version == b.Version && a.Modified.Equal(b.Modified)
}

// bySums compares checksums: those at hand, then those that the stores tell when
// they are asked for the object, then those that reading one side gives.
func (j *job) bySums(ctx context.Context, s *subject) (Finding, error) {
	if f, ok := s.bySums(); ok {
		return f, nil
	}
	if err := j.ask(ctx, s); err != nil {
		return Finding{}, err
	}
	if f, ok := s.bySums(); ok {
		return f, nil
	}
	if j.Strength == Checksums {
		return s.finding(Incomparable, "", "the two sides have no checksum in common"), nil
	}
	if sum, ok := computable(s.target.Sums); ok {
		return j.byReading(ctx, s, j.Source, s.source, sum)
	}
	if sum, ok := computable(s.source.Sums); ok {
		return j.byReading(ctx, s, j.Target, s.target, sum)
	}
	if like, err := j.guessed(ctx, s); like.Value != "" || err != nil {
		return s.finding(Equal, how(like), ""), err
	}
	return j.byBytes(ctx, s)
}

// guessed reads one side and looks whether it has the sum of parts that the other
// has, whose size that does not tell. It returns that sum, with the size that fits,
// or the zero one, which says nothing.
func (j *job) guessed(ctx context.Context, s *subject) (store.Sum, error) {
	st, o, sums := j.Source, s.source, guesses(s.target)
	if len(sums) == 0 {
		st, o, sums = j.Target, s.target, guesses(s.source)
	}
	if len(sums) == 0 {
		return store.Sum{}, nil
	}
	got, err := j.sums(ctx, st, o, sums)
	for i, g := range sums {
		if err == nil && got[i] == g.Value {
			return g, nil
		}
	}
	return store.Sum{}, err
}

func guesses(o *store.Object) []store.Sum {
	var out []store.Sum
	for _, s := range o.Sums {
		if s.Algorithm.New() != nil && s.Value != "" {
			out = append(out, s.Guesses(o.Size)...)
		}
	}
	return out
}

func (s *subject) bySums() (Finding, bool) {
	switch like, sum := store.Compare(s.source.Sums, s.target.Sums); like {
	case store.Alike:
		return s.finding(Equal, how(sum), ""), true
	case store.Unlike:
		f := s.finding(Different, how(sum), "the checksums differ")
		f.Source.Sum, f.Target.Sum = shown(s.source.Sums, sum), shown(s.target.Sums, sum)
		return f, true
	}
	return Finding{}, false
}

// ask gets what a listing does not tell. Objects that changed since are compared
// again as they are now.
func (j *job) ask(ctx context.Context, s *subject) error {
	before := *s
	if err := j.again(ctx, s); err != nil {
		return err
	}
	if !same(before.source, s.source) || !same(before.target, s.target) {
		return store.ErrChanged
	}
	return nil
}

// computable returns the strongest sum that reading the contents can confirm.
func computable(sums []store.Sum) (store.Sum, bool) {
	for _, a := range []store.Algorithm{store.SHA256, store.XXH3, store.SHA1, store.MD5, store.CRC32C} {
		for _, s := range sums {
			if s.Algorithm == a && s.Value != "" && (s.Parts == 0 || s.PartSize > 0) {
				return s, true
			}
		}
	}
	return store.Sum{}, false
}

// byReading reads one side and compares with the sum that the other has.
func (j *job) byReading(ctx context.Context, s *subject, st store.Store, o *store.Object, want store.Sum) (Finding, error) {
	sums, err := j.sums(ctx, st, o, []store.Sum{want})
	if err != nil {
		return Finding{}, err
	}
	got := sums[0]
	if got == want.Value {
		return s.finding(Equal, how(want), ""), nil
	}
	f := s.finding(Different, how(want), "the contents do not have the other side's checksum")
	mine, other := f.Source, f.Target
	if o == s.target {
		mine, other = other, mine
	}
	mine.Sum, other.Sum = string(want.Algorithm)+":"+got, string(want.Algorithm)+":"+want.Value
	return f, nil
}

// sums reads an object and returns the values of sums of the kinds of want.
func (j *job) sums(ctx context.Context, st store.Store, o *store.Object, want []store.Sum) ([]string, error) {
	r, _, err := st.Open(ctx, o.Key, store.Read{Match: o})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	digests, into := make([]*digest, len(want)), make([]io.Writer, len(want))
	for i, s := range want {
		digests[i] = newDigest(s)
		into[i] = digests[i]
	}
	buf, give, err := j.buffer(ctx, o.Size)
	if err != nil {
		return nil, err
	}
	defer give()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(into...)}, paced{ctx, r, j.Limits}, buf)
	j.read.Add(n)
	if err != nil {
		return nil, err
	}
	if n != o.Size {
		return nil, store.ErrChanged
	}
	got := make([]string, len(want))
	for i, d := range digests {
		got[i] = d.sum()
	}
	return got, nil
}

// byBytes reads both sides at once.
func (j *job) byBytes(ctx context.Context, s *subject) (Finding, error) {
	a, _, err := j.Source.Open(ctx, s.source.Key, store.Read{Match: s.source})
	if err != nil {
		return Finding{}, err
	}
	defer a.Close()
	b, _, err := j.Target.Open(ctx, s.target.Key, store.Read{Match: s.target})
	if err != nil {
		return Finding{}, err
	}
	defer b.Close()
	buf, give, err := j.buffer(ctx, 2*s.source.Size+2)
	if err != nil {
		return Finding{}, err
	}
	defer give()
	at, err := j.differ(paced{ctx, a, j.Limits}, paced{ctx, b, j.Limits}, buf)
	if err != nil {
		return Finding{}, err
	}
	if at < 0 {
		return s.finding(Equal, "bytes", ""), nil
	}
	f := s.finding(Different, "bytes", fmt.Sprintf("the bytes differ from offset %d on", at))
	f.First = &at
	return f, nil
}

// differ returns the offset of the first difference, -1 when there is none.
func (j *job) differ(a, b io.Reader, buf []byte) (int64, error) {
	half := len(buf) / 2
	x, y := buf[:half], buf[half:2*half]
	for at := int64(0); ; {
		n, aerr := io.ReadFull(a, x)
		m, berr := io.ReadFull(b, y)
		j.read.Add(int64(n + m))
		for _, err := range []error{aerr, berr} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return 0, err
			}
		}
		if !bytes.Equal(x[:n], y[:m]) {
			for i := range min(n, m) {
				if x[i] != y[i] {
					return at + int64(i), nil
				}
			}
			return at + int64(min(n, m)), nil
		}
		if aerr != nil || berr != nil {
			return -1, nil //nolint:nilerr // both ended, and nothing differs
		}
		at += int64(n)
	}
}

// most is what one comparison holds in memory.
const most = 256 << 10

func (j *job) buffer(ctx context.Context, size int64) (buf []byte, give func(), err error) {
	n := max(512, min(size+1, most))
	if j.Budget == nil {
		return make([]byte, n), func() {}, nil
	}
	if err := j.Budget.Take(ctx, n); err != nil {
		return nil, nil, err
	}
	return make([]byte, n), func() { j.Budget.Give(n) }, nil
}

// onlyWriter hides shortcuts that would not use the buffer, as paced does.
type onlyWriter struct{ io.Writer }

// paced reads no faster than limits allow.
type paced struct {
	ctx    context.Context
	r      io.Reader
	limits *limit.Rates
}

// Read implements io.Reader.
func (p paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		if late := p.limits.Bytes(p.ctx, n); late != nil {
			return n, late
		}
	}
	return n, err
}

// digest computes a sum, of the contents or of the sums of its parts.
type digest struct {
	want  store.Sum
	whole hash.Hash // of the sums, for a composite
	part  hash.Hash
	left  int64 // bytes until the part is full
}

func newDigest(want store.Sum) *digest {
	d := &digest{want: want, part: want.Algorithm.New()}
	if want.Parts > 0 {
		d.whole, d.left = want.Algorithm.New(), want.PartSize
	}
	return d
}

// Write implements io.Writer; it never fails.
func (d *digest) Write(p []byte) (int, error) {
	n := len(p)
	if d.whole == nil {
		return d.part.Write(p)
	}
	for len(p) > 0 {
		if d.left == 0 {
			d.fold()
		}
		k := min(int64(len(p)), d.left)
		_, _ = d.part.Write(p[:k])
		d.left -= k
		p = p[k:]
	}
	return n, nil
}

func (d *digest) fold() {
	_, _ = d.whole.Write(d.part.Sum(nil))
	d.part.Reset()
	d.left = d.want.PartSize
}

// sum ends the digest and returns its value.
func (d *digest) sum() string {
	if d.whole == nil {
		return hex.EncodeToString(d.part.Sum(nil))
	}
	d.fold()
	return hex.EncodeToString(d.whole.Sum(nil))
}

// how names a comparison by a sum.
func how(s store.Sum) string {
	if s.Parts > 0 {
		return string(s.Algorithm) + " of parts"
	}
	return string(s.Algorithm)
}

// shown returns the sum of a kind for people.
func shown(sums []store.Sum, kind store.Sum) string {
	for _, s := range sums {
		if s.Algorithm == kind.Algorithm && s.Parts == kind.Parts {
			return string(s.Algorithm) + ":" + s.Value
		}
	}
	return ""
}

func (s *subject) finding(v Verdict, how, reason string) Finding {
	return Finding{Key: s.key, Name: s.name, Verdict: v, How: how, Reason: reason, Source: side(s.source), Target: side(s.target)}
}

func (s *subject) unreadable(err error) Finding {
	e := fault.Of(err)
	f := s.finding(Unreadable, "", e.Error())
	f.Code = e.Code
	return f
}

func side(o *store.Object) *Side {
	if o == nil {
		return nil
	}
	return &Side{Size: o.Size, Modified: o.Modified}
}
