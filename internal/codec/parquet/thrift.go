package parquet

import "encoding/binary"

// Types of Thrift's compact protocol, in which Parquet's headers and footers are.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

// thrift appends structs in the compact protocol. Fields are given in rising order.
type thrift struct {
	b    []byte
	last int // the field before, in the struct that is being written
	open []int
}

func (t *thrift) head(id, kind int) {
	if d := id - t.last; d <= 15 {
		t.b = append(t.b, byte(d<<4|kind))
	} else {
		t.b = binary.AppendVarint(append(t.b, byte(kind)), int64(id))
	}
	t.last = id
}

func (t *thrift) int32(id int, v int64) {
	t.head(id, thriftI32)
	t.b = binary.AppendVarint(t.b, v)
}

func (t *thrift) int64(id int, v int64) {
	t.head(id, thriftI64)
	t.b = binary.AppendVarint(t.b, v)
}

func (t *thrift) byte(id int, v byte) {
	t.head(id, thriftByte)
	t.b = append(t.b, v)
}

func (t *thrift) bool(id int, v bool) {
	if v {
		t.head(id, thriftTrue)
		return
	}
	t.head(id, thriftFalse)
}

func (t *thrift) text(id int, s string) {
	t.head(id, thriftBinary)
	t.item(s)
}

// list begins a list of n elements, which item, number and element then append.
func (t *thrift) list(id, kind, n int) {
	t.head(id, thriftList)
	if n < 15 {
		t.b = append(t.b, byte(n<<4|kind))
		return
	}
	t.b = binary.AppendUvarint(append(t.b, byte(15<<4|kind)), uint64(n))
}

func (t *thrift) item(s string) {
	t.b = append(binary.AppendUvarint(t.b, uint64(len(s))), s...)
}

func (t *thrift) number(v int64) { t.b = binary.AppendVarint(t.b, v) }

// element begins a struct that is an element of a list; end ends it.
func (t *thrift) element() {
	t.open = append(t.open, t.last)
	t.last = 0
}

// begin begins a struct that is a field; end ends it.
func (t *thrift) begin(id int) {
	t.head(id, thriftStruct)
	t.element()
}

func (t *thrift) end() {
	t.b = append(t.b, 0)
	t.last = t.open[len(t.open)-1]
	t.open = t.open[:len(t.open)-1]
}
