package selection

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// lineBytes bounds a line of a list file.
const lineBytes = 64 << 10

// Lines reads keys, one a line; a line may end with a carriage return, and empty
// lines count as none. name is the file's name for errors (fault.JobValue), which
// have the line's number and end the list.
func Lines(name string, r io.Reader) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		in := bufio.NewReaderSize(r, lineBytes)
		for n := 1; ; n++ {
			line, err := in.ReadSlice('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(store.Object{}, badLine(name, n, err))
				return
			}
			last := err != nil
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			if n == 1 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			if bytes.IndexByte(line, 0) >= 0 {
				yield(store.Object{}, badLine(name, n, errors.New("a zero byte: this is no text")))
				return
			}
			if len(line) > 0 && !yield(store.Object{Key: string(line)}, nil) || last {
				return
			}
		}
	}
}

func badLine(name string, n int, err error) error {
	if errors.Is(err, bufio.ErrBufferFull) || errors.Is(err, errLong) {
		err = fmt.Errorf("longer than %d bytes", lineBytes)
	}
	return fault.New(fault.JobValue, "the list of objects cannot be read: %v", err).At("%s:%d", name, n)
}

var errLong = errors.New("too long")

// CSV reads keys from the column "key" of a CSV file with a header. Other columns
// are left alone. A column "size" must have whole numbers or nothing; sizes that
// are given come with the objects. Errors are as of Lines.
func CSV(name string, r io.Reader) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		in := csv.NewReader(&bounded{r: r})
		in.ReuseRecord = true
		header, err := in.Read()
		if err != nil {
			yield(store.Object{}, badLine(name, 1, err))
			return
		}
		key, size := -1, -1
		for i, column := range header {
			switch strings.ToLower(strings.TrimSpace(strings.TrimPrefix(column, "\ufeff"))) {
			case "key":
				key = i
			case "size":
				size = i
			}
		}
		if key < 0 {
			yield(store.Object{}, badLine(name, 1, errors.New(`the header has no column "key"`)))
			return
		}
		for {
			row, err := in.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			o, err := fromRow(row, key, size, err)
			if err != nil {
				yield(store.Object{}, badLine(name, line(in, row, err), err))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// line is where a bad row begins.
func line(in *csv.Reader, row []string, err error) int {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.StartLine
	}
	if len(row) == 0 {
		return 0
	}
	n, _ := in.FieldPos(0)
	return n
}

func fromRow(row []string, key, size int, err error) (store.Object, error) {
	if err != nil {
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return store.Object{}, err
	}
	o := store.Object{Key: strings.Clone(row[key])}
	if o.Key == "" {
		return o, errors.New("the key is empty")
	}
	if size >= 0 && row[size] != "" {
		n, err := strconv.ParseInt(row[size], 10, 64)
		if err != nil || n < 0 {
			return o, fmt.Errorf("%q is not a size in bytes", row[size])
		}
		o.Size = n
	}
	return o, nil
}

// bounded refuses text whose lines are too long, before anyone collects them. A
// quoted field of many lines is refused by the same count, which begins anew only
// outside quotes.
type bounded struct {
	r      io.Reader
	n      int
	quoted bool
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	for _, c := range p[:n] {
		if c == '"' {
			b.quoted = !b.quoted
		}
		if b.n++; c == '\n' && !b.quoted {
			b.n = 0
		}
		if b.n > lineBytes {
			return 0, errLong
		}
	}
	return n, err
}
