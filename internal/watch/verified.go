package watch

// States of objects, or rows, that a verification counts besides its verdicts.
const (
	VerifiedEqual     = "equal"
	VerifiedSuspected = "suspected" // differs and may be on its way: it is judged again
)

// Verified is how far a verification has come.
type Verified struct {
	Compared  Ended `json:"compared"`
	Differing int64 `json:"differing"` // objects not found equal so far
	Again     int64 `json:"again"`     // objects to be judged again, as they may be on their way
	Expected  int64 `json:"-"`         // how many there are about; 0: unknown
}

// Verified counts what a verification has compared so far.
func (f *Files) Verified() (v Verified) {
	v.Expected = f.listed.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	for verdict, e := range f.ended {
		v.Compared.Objects += e.Objects
		v.Compared.Bytes += e.Bytes
		switch verdict {
		case VerifiedEqual:
		case VerifiedSuspected:
			v.Again = e.Objects
		default:
			v.Differing += e.Objects
		}
	}
	return v
}
