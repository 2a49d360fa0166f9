package mysql

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// With binlog_row_value_options=PARTIAL_JSON an update may have, instead of a document,
// what changed of it: a list of operations, each a byte, a path behind its length, and,
// but for a removal, a binary value behind its length. They are done one after another
// on the document of the row before.

// Operations on documents.
const (
	jsonReplace = 0 // what is at the path
	jsonInsert  = 1 // a new member, or an element before the one that is there
	jsonRemove  = 2
)

// partialJSON is the option of an image of a row that has changes of documents.
const partialJSON = 1

// diffs reads what stands before an image of a partial update: options, then a bit for
// each document of the table. It returns the bits, nil when the image has all documents
// whole, and the image.
func (l *layout) diffs(b []byte) (diffs, image []byte, err error) {
	r := bodyReader{b: b}
	options := r.packed()
	if options > partialJSON {
		return nil, nil, errImage
	}
	if options == partialJSON {
		diffs = r.take((l.documents + 7) / 8)
	}
	if r.bad {
		return nil, nil, errImage
	}
	return diffs, r.b, nil
}

// changed appends the cell of a document: that of the row before, at s of the image old,
// with what changed.
func (d *decoder) changed(s span, old, diffs []byte) {
	const prefix = 4
	err := errLogValue
	if s.end > 0 {
		d.text, err = appendChanged(d.text[:0], old[s.at+prefix:s.end], diffs)
	}
	d.x.Bytes(d.text)
	if err != nil && d.err == nil {
		d.err = err
	}
}

// appendChanged appends the text of a binary document after what changed of it.
func appendChanged(dst, document, diffs []byte) ([]byte, error) {
	root := jsonNode{kind: jsonLiteral, raw: []byte{0}} // see appendJSON
	if len(document) > 0 {
		root = jsonNode{kind: document[0], raw: document[1:]}
	}
	r := bodyReader{b: diffs}
	for len(r.b) > 0 {
		op := r.uint(1)
		path := r.take(int(r.packed()))
		var value []byte
		if op != jsonRemove {
			value = r.take(int(r.packed()))
		}
		if r.bad {
			return dst, errCut
		}
		if err := root.apply(op, path, value); err != nil {
			return dst, err
		}
	}
	return root.append(dst, 0)
}

// jsonNode is a value of a document. Only what lies on the way to a change is ever taken
// apart, so each scalar stays as it was stored.
type jsonNode struct {
	kind byte
	raw  []byte       // lent; the value begins at its front
	open *jsonMembers // of an object or array that was taken apart; nil: raw has it
}

// jsonMembers are those of an object, or, with no keys, the elements of an array.
type jsonMembers struct {
	object bool
	keys   [][]byte // in the order of the document: short ones first, then by bytes
	values []jsonNode
}

// apply does one operation.
func (n *jsonNode) apply(op uint64, path, value []byte) error {
	var fresh jsonNode
	if op != jsonRemove {
		if len(value) == 0 {
			return errJSONChange
		}
		fresh = jsonNode{kind: value[0], raw: value[1:]}
	}
	steps, err := parseJSONPath(path)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		if op != jsonReplace {
			return errJSONChange
		}
		*n = fresh
		return nil
	}
	for _, s := range steps[:len(steps)-1] {
		m, i, found, err := n.seek(s)
		if err != nil || !found {
			return cmp.Or(err, errJSONChange)
		}
		n = &m.values[i]
	}
	last := steps[len(steps)-1]
	m, i, found, err := n.seek(last)
	if err != nil {
		return err
	}
	return m.edit(op, last, i, found, fresh)
}

// seek takes a container apart and returns where in it a step leads: the place where
// that is, or would be.
func (n *jsonNode) seek(s jsonStep) (m *jsonMembers, at int, found bool, err error) {
	if err := n.takeApart(); err != nil {
		return nil, 0, false, err
	}
	m = n.open
	switch {
	case m.object != s.member:
		return m, 0, false, errJSONChange
	case s.member:
		at, found = slices.BinarySearchFunc(m.keys, s.key, compareJSONKeys)
	case s.last:
		at, found = len(m.values)-1-s.index, s.index < len(m.values)
	default:
		at, found = min(s.index, len(m.values)), s.index < len(m.values)
	}
	return m, max(at, 0), found, nil
}

// compareJSONKeys is the order of keys in objects.
func compareJSONKeys(a, b []byte) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

func (n *jsonNode) takeApart() error {
	if n.open != nil {
		return nil
	}
	if n.kind > jsonLargeArray {
		return errJSONChange
	}
	c, err := openJSON(n.kind, n.raw)
	if err != nil {
		return err
	}
	m := &jsonMembers{object: c.object, values: make([]jsonNode, c.n)}
	if c.object {
		m.keys = make([][]byte, c.n)
	}
	for i := range m.values {
		if c.object {
			if m.keys[i], err = c.key(i); err != nil {
				return err
			}
		}
		v := &m.values[i]
		if v.kind, v.raw, err = c.value(i); err != nil {
			return err
		}
	}
	n.open = m
	return nil
}

// edit does an operation on the member at the end of a path.
func (m *jsonMembers) edit(op uint64, s jsonStep, at int, found bool, fresh jsonNode) error {
	switch {
	case op == jsonReplace && found:
		m.values[at] = fresh
	case op == jsonRemove && found:
		m.values = slices.Delete(m.values, at, at+1)
		if m.object {
			m.keys = slices.Delete(m.keys, at, at+1)
		}
	case op == jsonInsert && m.object && !found:
		m.keys = slices.Insert(m.keys, at, s.key)
		m.values = slices.Insert(m.values, at, fresh)
	case op == jsonInsert && !m.object:
		m.values = slices.Insert(m.values, at, fresh)
	default:
		return errJSONChange
	}
	return nil
}

// append appends the text of a value.
func (n *jsonNode) append(dst []byte, depth int) ([]byte, error) {
	m := n.open
	if m == nil {
		return jsonValue(dst, n.kind, n.raw, depth)
	}
	dst = append(dst, "[{"[b2i(m.object)])
	for i := range m.values {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		if m.object {
			dst = append(appendQuoted(dst, m.keys[i]), ": "...)
		}
		var err error
		if dst, err = m.values[i].append(dst, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, "]}"[b2i(m.object)]), nil
}

// jsonStep is a step of a path: into a member of an object, or an element of an array.
type jsonStep struct {
	member bool
	key    []byte
	index  int
	last   bool // index counts back from the last element
}

// parseJSONPath reads a path as the server writes it: $.key."other key"[0][last-1].
func parseJSONPath(path []byte) ([]jsonStep, error) {
	rest, ok := bytes.CutPrefix(path, []byte("$"))
	if !ok {
		return nil, errJSONChange
	}
	var steps []jsonStep
	for len(rest) > 0 {
		if len(steps) > jsonDepth {
			return nil, errJSONChange
		}
		var s jsonStep
		var err error
		switch rest[0] {
		case '.':
			s.member = true
			s.key, rest, err = cutJSONKey(rest[1:])
		case '[':
			s.index, s.last, rest, err = cutJSONIndex(rest[1:])
		default:
			err = errJSONChange
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// cutJSONKey cuts a name, or a text in quotes, off the front.
func cutJSONKey(b []byte) (key, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		n := bytes.IndexAny(b, ".[")
		if n < 0 {
			n = len(b)
		}
		if n == 0 {
			return nil, nil, errJSONChange
		}
		return b[:n], b[n:], nil
	}
	end := 1
	for end < len(b) && b[end] != '"' {
		if b[end] == '\\' {
			end++
		}
		end++
	}
	var text string
	if end >= len(b) || json.Unmarshal(b[:end+1], &text) != nil {
		return nil, nil, errJSONChange
	}
	return []byte(text), b[end+1:], nil
}

// cutJSONIndex cuts "3]", "last]" or "last-3]" off the front.
func cutJSONIndex(b []byte) (index int, last bool, rest []byte, err error) {
	text, rest, ok := bytes.Cut(b, []byte("]"))
	if !ok {
		return 0, false, nil, errJSONChange
	}
	if back, found := bytes.CutPrefix(text, []byte("last")); found {
		if len(back) == 0 {
			return 0, true, rest, nil
		}
		if text, last = bytes.CutPrefix(back, []byte("-")); !last {
			return 0, false, nil, errJSONChange
		}
	}
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return 0, false, nil, errJSONChange
	}
	return int(n), last, rest, nil
}
