package csv

import (
	"errors"
	"io"
)

// field is one field of a file. Its text is lent until the next one is asked for.
type field struct {
	text   []byte
	quoted bool
}

var (
	errEnds  = errors.New("the row has fewer or more fields than the file has columns")
	errQuote = errors.New("something follows the end of a quoted field")
)

// fieldReader reads the fields of a file one after another.
type fieldReader struct {
	in               io.Reader
	delimiter, quote byte
	crlf             bool

	buf     []byte
	at, end int // what is read and not taken
	err     error
	plain   []byte // of a quoted field with quotes in it
}

// window is what is read at once; a longer field makes it grow.
const window = 128 << 10

// fill reads more behind what is there. It returns false at the end of the file, and
// after an error.
func (r *fieldReader) fill() bool {
	if r.err != nil {
		return false
	}
	if r.at > 0 {
		r.end = copy(r.buf, r.buf[r.at:r.end])
		r.at = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, max(window, 2*len(r.buf)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	for {
		n, err := r.in.Read(r.buf[r.end:])
		r.end += n
		if err != nil && !errors.Is(err, io.EOF) {
			r.err = err
			return false
		}
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// more reports whether there is another row.
func (r *fieldReader) more() bool { return r.at < r.end || r.fill() }

// next returns the next field of a row; last: it must be the last one of it, else it must
// not.
func (r *fieldReader) next(last bool) (field, error) {
	if !r.more() {
		return field{}, r.short()
	}
	if r.buf[r.at] == r.quote {
		return r.quotedField(last)
	}
	for i := 0; ; i++ {
		if r.at+i == r.end && !r.fill() {
			return field{}, r.short()
		}
		switch r.buf[r.at+i] {
		case r.delimiter:
			return r.taken(field{text: r.buf[r.at : r.at+i]}, i+1, last, false)
		case '\n':
			text := r.buf[r.at : r.at+i]
			if r.crlf {
				if i == 0 || text[i-1] != '\r' {
					return field{}, errEnds
				}
				text = text[:i-1]
			}
			return r.taken(field{text: text}, i+1, last, true)
		}
	}
}

// taken moves on behind a field.
func (r *fieldReader) taken(f field, n int, last, ended bool) (field, error) {
	r.at += n
	if last != ended {
		return f, errEnds
	}
	return f, nil
}

func (r *fieldReader) short() error {
	if r.err != nil {
		return r.err
	}
	return io.ErrUnexpectedEOF
}

func (r *fieldReader) quotedField(last bool) (field, error) {
	r.plain = r.plain[:0]
	begin := 1 // of what is not in plain yet
	for i := 1; ; i++ {
		if r.at+i == r.end && !r.fill() {
			return field{}, r.short()
		}
		if r.buf[r.at+i] != r.quote {
			continue
		}
		if r.at+i+1 == r.end && !r.fill() {
			return field{}, r.short()
		}
		if r.buf[r.at+i+1] == r.quote {
			r.plain = append(r.plain, r.buf[r.at+begin:r.at+i+1]...)
			i++
			begin = i + 1
			continue
		}
		text := r.buf[r.at+begin : r.at+i]
		if len(r.plain) > 0 {
			r.plain = append(r.plain, text...)
			text = r.plain
		}
		return r.behind(field{text, true}, i+1, last)
	}
}

// behind moves on behind a quoted field, whose length is n. Its text stays where it is:
// filling moves it, so that it is taken into plain first.
func (r *fieldReader) behind(f field, n int, last bool) (field, error) {
	ended := false
	if r.buf[r.at+n] == '\r' && r.crlf {
		n++
		if r.at+n == r.end {
			r.plain = append(r.plain[:0], f.text...)
			f.text = r.plain
			if !r.fill() {
				return field{}, r.short()
			}
		}
	}
	switch r.buf[r.at+n] {
	case r.delimiter:
	case '\n':
		ended = true
	default:
		return field{}, errQuote
	}
	return r.taken(f, n+1, last, ended)
}
