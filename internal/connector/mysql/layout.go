package mysql

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/row"
)

// misfit says why a table map does not fit a shape.
type misfit struct{ why string }

func (m *misfit) Error() string { return m.why }

func misfitf(format string, args ...any) error { return &misfit{fmt.Sprintf(format, args...)} }

// fit returns how the rows of map m are decoded into rows of t, or a misfit: a
// row event is never guessed.
func fit(t *row.Table, m *tableMap) (*layout, error) {
	if len(m.types) != len(t.Columns) {
		return nil, misfitf("the log has %d columns, the shape %d", len(m.types), len(t.Columns))
	}
	l := &layout{table: t, fields: make([]field, len(t.Columns)), key: t.Key}
	numeric := 0
	for i := range t.Columns {
		c := &t.Columns[i]
		if m.names != nil && m.names[i] != c.Name {
			return nil, misfitf("the log calls column %d %s, the shape %s", i+1, clip(m.names[i], 80), c.Name)
		}
		f, err := fitColumn(c.Type, m.types[i], m.meta[i])
		if err != nil {
			return nil, misfitf("column %s (%s): %v", c.Name, clip(c.Type.Native, 120), err)
		}
		if isNumeric(m.types[i]) {
			if m.unsigned != nil && (f.how == howInt && m.unsigned[numeric] || f.how == howUint && !m.unsigned[numeric]) {
				return nil, misfitf("column %s (%s): the log has the other sign", c.Name, c.Type.Native)
			}
			numeric++
		}
		if f.how == howJSON {
			f.document = l.documents
			l.documents++
		}
		l.fields[i] = f
	}
	return l, nil
}

// hashType is the type of the columns that MariaDB keeps at the end of a table for unique
// keys of long texts and bytes, one for each: only the log shows them.
const hashType = tyLongLong

// fitHidden mends a misfit that comes from such columns: the log has as many columns more,
// behind those of the shape, as the table has of these keys.
func (r *streamer) fitHidden(m *mapped, t *row.Table, tm *tableMap) error {
	n := len(t.Columns)
	more := len(tm.types) - n
	if more <= 0 || slices.ContainsFunc(tm.types[n:], func(t byte) bool { return t != hashType }) {
		return nil
	}
	hidden, err := r.hashKeys(t)
	if err != nil || hidden != more {
		return err
	}
	cut := *tm
	cut.types = tm.types[:n]
	if tm.names != nil {
		cut.names = tm.names[:n]
	}
	if m.layout, m.misfit = fit(t, &cut); m.misfit == nil {
		for range more {
			m.layout.fields = append(m.layout.fields, field{how: howHidden, size: 8})
		}
	}
	return nil
}

// hashKeys returns how many unique keys of a table are kept by hidden columns. Shapes do
// not have this: the catalogue is asked.
func (r *streamer) hashKeys(t *row.Table) (int, error) {
	c, err := r.s.dial(r.ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if c.mysql {
		return 0, nil
	}
	rows, err := c.query(r.ctx, fmt.Sprintf("SELECT DISTINCT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0 AND INDEX_TYPE = 'HASH'",
		quoteText(t.Name.Space), quoteText(t.Name.Table)))
	return len(rows), err
}

// nativeWord is the first word of a native type.
func nativeWord(native string) string {
	end := 0
	for end < len(native) && (native[end] >= 'a' && native[end] <= 'z' || native[end] >= '0' && native[end] <= '9') {
		end++
	}
	return native[:end]
}

func fitColumn(t row.Type, ty byte, meta uint16) (field, error) {
	word := nativeWord(strings.ToLower(t.Native))
	var f field
	var err error
	switch t.Kind {
	case row.Int, row.Uint:
		f, err = fitInteger(word, t, ty)
	case row.Float32:
		f, err = want(ty == tyFloat && meta == 4, field{how: howFloat32, size: 4})
	case row.Float64:
		f, err = want(ty == tyDouble && meta == 8, field{how: howFloat64, size: 8})
	case row.Decimal:
		ok := ty == tyNewDecimal && int(meta>>8) == t.Digits && int(meta&0xff) == t.Scale && t.Digits <= 65 && t.Scale <= t.Digits
		f = field{how: howDecimal, whole: uint8(t.Digits - t.Scale), scale: uint8(t.Scale)}
		if ok {
			f.size = decimalBytes(t.Digits-t.Scale, t.Scale)
		}
		f, err = want(ok, f)
	case row.Date, row.Time, row.DateTime, row.Timestamp:
		f, err = fitTemporal(t, ty, meta)
	case row.Year:
		f, err = want(ty == tyYear, field{how: howYear, size: 1})
	case row.Bits:
		bits := int(meta>>8)*8 + int(meta&0xff)
		f, err = want(ty == tyBit && bits == t.Size && bits <= 64, field{how: howBits, size: (bits + 7) / 8})
	case row.Enum, row.Labels:
		f, err = fitLabels(t, ty, meta)
	default:
		f, err = fitString(word, t, ty, meta)
	}
	if err != nil {
		return f, fmt.Errorf("the log has type %d (%#x): %w", ty, meta, err)
	}
	return f, nil
}

func want(ok bool, f field) (field, error) {
	if !ok {
		return f, fmt.Errorf("it does not fit")
	}
	return f, nil
}

func fitInteger(word string, t row.Type, ty byte) (field, error) {
	f := field{how: howInt}
	if t.Kind == row.Uint {
		f.how = howUint
	}
	var need byte
	switch word {
	case "tinyint", "bool", "boolean":
		need, f.size = tyTiny, 1
	case "smallint":
		need, f.size = tyShort, 2
	case "mediumint":
		need, f.size = tyInt24, 3
	case "int", "integer":
		need, f.size = tyLong, 4
	case "bigint", "serial":
		need, f.size = tyLongLong, 8
	default:
		return f, fmt.Errorf("its type is not known")
	}
	return want(ty == need, f)
}

// fitTemporal accepts the present forms and those of servers that run with
// mysql56_temporal_format=OFF or keep columns from before it; these carry no
// scale, which only the shape knows.
func fitTemporal(t row.Type, ty byte, meta uint16) (field, error) {
	f := field{scale: uint8(t.Scale)}
	if t.Scale < 0 || t.Scale > 6 {
		return want(false, f)
	}
	frac := fractionBytes(t.Scale)
	scaled := int(meta) == t.Scale
	switch {
	case t.Kind == row.Date && ty == tyDate:
		f.how, f.size = howDate, 3
	case t.Kind == row.Time && ty == tyTime2 && scaled:
		f.how, f.size = howTime2, 3+frac
	case t.Kind == row.Time && ty == tyTime && t.Scale == 0:
		f.how, f.size = howTimeOld, 3
	case t.Kind == row.Time && ty == tyTime:
		f.how, f.size = howTimeHires, [...]int{3, 4, 4, 5, 5, 5, 6}[t.Scale]
	case t.Kind == row.DateTime && ty == tyDateTime2 && scaled:
		f.how, f.size = howDateTime2, 5+frac
	case t.Kind == row.DateTime && ty == tyDateTime && t.Scale == 0:
		f.how, f.size = howDateTimeOld, 8
	case t.Kind == row.DateTime && ty == tyDateTime:
		f.how, f.size = howDateTimeHires, [...]int{5, 6, 6, 7, 7, 7, 8}[t.Scale]
	case t.Kind == row.Timestamp && ty == tyTimestamp2 && scaled:
		f.how, f.size = howTimestamp2, 4+frac
	case t.Kind == row.Timestamp && ty == tyTimestamp && t.Scale == 0:
		f.how, f.size = howTimestampOld, 4
	case t.Kind == row.Timestamp && ty == tyTimestamp:
		f.how, f.size = howTimestampHires, 4+frac
	default:
		return want(false, f)
	}
	return f, nil
}

func fitLabels(t row.Type, ty byte, meta uint16) (field, error) {
	f := field{how: howEnum, size: int(meta & 0xff), labels: t.Labels}
	real, size := byte(tyEnum), 1
	if t.Kind == row.Labels {
		real, f.how = tySet, howLabels
		if size = (len(t.Labels) + 7) / 8; size > 4 {
			size = 8
		}
	} else if len(t.Labels) > 255 {
		size = 2
	}
	ok := (ty == tyString && byte(meta>>8) == real || ty == real) && f.size == size
	return want(ok, f)
}

// stringBytes undoes the packing of type and length of a STRING column: lengths
// above 255 put two bits into the byte of the type.
func stringBytes(meta uint16) (real byte, length int) {
	hi, lo := byte(meta>>8), int(meta&0xff)
	if hi&0x30 != 0x30 {
		return hi | 0x30, lo | int(hi&0x30^0x30)<<4
	}
	return hi, lo
}

func fitString(word string, t row.Type, ty byte, meta uint16) (field, error) {
	f := field{how: howBytes}
	if t.Kind == row.Text || t.Kind == row.JSON {
		conv, ok := charsetOf(t.Charset)
		if !ok {
			return f, fmt.Errorf("charset %s is not supported", t.Charset)
		}
		f.how, f.conv = howText, conv
	}
	switch ty {
	case tyString:
		return fitFixed(word, t, meta, f)
	case tyVarchar, tyVarString:
		f.prefix = 1
		if meta > 255 {
			f.prefix = 2
		}
		return want(word == "varchar" && fitsWidth(t, int(meta)) || word == "varbinary" && int(meta) == t.Size, f)
	case tyBlob, tyGeometry, tyTinyBlob, tyMediumBlob, tyLongBlob:
		f.prefix = uint8(meta)
		return want(blobPrefix(word) == int(meta), f)
	case tyJSON:
		f.how, f.prefix = howJSON, uint8(meta)
		return want(word == "json" && meta == 4, f)
	case tyVarcharCompressed, tyBlobCompressed:
		return fitPacked(word, t, ty, meta, f)
	}
	return want(false, f)
}

// fitPacked is fitString for columns that are stored compressed. A VARCHAR has one
// byte more there, for values that did not become shorter.
func fitPacked(word string, t row.Type, ty byte, meta uint16, f field) (field, error) {
	plain := byte(tyBlob)
	if ty == tyVarcharCompressed {
		plain, meta = tyVarchar, meta-1
	}
	f, err := fitString(word, t, plain, meta)
	if plain == tyVarchar && meta == 255 {
		f.prefix = 2
	}
	if f.how == howText {
		f.how = howPackedText
	} else {
		f.how = howPackedBytes
	}
	return f, err
}

// fitFixed is fitString for CHAR, BINARY and the types that lie in them.
func fitFixed(word string, t row.Type, meta uint16, f field) (field, error) {
	real, n := stringBytes(meta)
	f.prefix = 1
	if n > 255 {
		f.prefix = 2
	}
	if real != tyString {
		return want(false, f)
	}
	switch word {
	case "char":
		return want(fitsWidth(t, n), f)
	case "binary":
		f.how, f.pad = howPadded, n
		return want(n == t.Size, f)
	case "uuid":
		f.how = howUUID
		return want(n == 16, f)
	case "inet6":
		f.how = howInet6
		return want(n == 16, f)
	case "inet4":
		f.how = howInet4
		return want(n == 4, f)
	}
	return want(false, f)
}

// fitsWidth compares the bytes that the log gives a column with its characters.
func fitsWidth(t row.Type, n int) bool {
	return n == t.Size*characterBytes(t.Charset)
}

// characterBytes is the most bytes that a character takes.
func characterBytes(charset string) int {
	switch charset {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return 4
	case "utf8mb3", "utf8", "ujis", "eucjpms":
		return 3
	case "ucs2", "big5", "sjis", "cp932", "gb2312", "gbk", "euckr":
		return 2
	}
	return 1
}

func blobPrefix(word string) int {
	switch word {
	case "tinytext", "tinyblob":
		return 1
	case "text", "blob":
		return 2
	case "mediumtext", "mediumblob":
		return 3
	case "longtext", "longblob", "json", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return 4
	}
	return 0
}

// appendAddress appends the text of a UUID or an address. Trailing zeros are left
// off in the log.
func appendAddress(dst []byte, h how, v []byte) ([]byte, bool) {
	var full [16]byte
	if len(v) > 16 {
		return dst, false
	}
	copy(full[:], v)
	switch h {
	case howInet4:
		return netip.AddrFrom4([4]byte(full[:4])).AppendTo(dst), len(v) <= 4
	case howInet6:
		return appendInet6(dst, full), true
	}
	return appendUUID(dst, full), true
}

const hexDigits = "0123456789abcdef"

func appendUUID(dst []byte, v [16]byte) []byte {
	for i, b := range v {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// appendInet6 prints an address as MariaDB does: the first of the longest runs of
// zero groups, even of a single one, becomes "::", and an embedded IPv4 address
// is printed as such.
func appendInet6(dst []byte, v [16]byte) []byte {
	group := func(i int) uint64 { return bigEndian(v[2*i : 2*i+2]) }
	gap, length := -1, 0
	for i := 0; i < 8; i++ {
		n := 0
		for i+n < 8 && group(i+n) == 0 {
			n++
		}
		if n > length {
			gap, length = i, n
		}
		i += n
	}
	for i := 0; i < 8; {
		switch {
		case i == gap:
			dst = append(dst, "::"...)
			i += length
			continue
		case i == 6 && gap == 0 && (length == 6 || length == 5 && group(5) == 0xffff):
			if length == 5 {
				dst = append(dst, ':')
			}
			return netip.AddrFrom4([4]byte(v[12:])).AppendTo(dst)
		case i > 0 && i != gap+length:
			dst = append(dst, ':')
		}
		dst = strconv.AppendUint(dst, group(i), 16)
		i++
	}
	return dst
}
