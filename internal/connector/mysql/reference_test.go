package mysql

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"godwit/internal/codec"
	"godwit/internal/codec/csv"
	"godwit/internal/option"
	"godwit/internal/row"
)

// declared is a type, as a column has it, with what there is to say of it. Servers that
// have it: a MariaDB, m MySQL.
type declared struct{ native, servers, note string }

func declaredTypes() []declared {
	return []declared{
		{"tinyint(4)", "am", "`BOOL` is `tinyint(1)`. Here and in all numbers `ZEROFILL` and display widths change nothing"},
		{"smallint(6)", "am", ""},
		{"mediumint(9)", "am", ""},
		{"int(11)", "am", ""},
		{"bigint(20) unsigned", "am", "`SERIAL` is this, not null and unique"},
		{"decimal(65,30)", "am", "exact, with all digits after the point; no sign on zero. MariaDB: up to 38 digits after the point"},
		{"float", "am", "the bits that are stored; `FLOAT(M,D)` too, not its rounded text"},
		{"double", "am", "as `FLOAT`. The servers store neither NaN nor infinity"},
		{"bit(64)", "am", "a number, of 1 to 64 bits"},
		{"char(10)", "am", "without the spaces at its end, as the server gives it. Every character set of the server becomes UTF-8; what has no meaning in it becomes `?`, as the server's own conversion makes it"},
		{"varchar(200)", "am", "with the spaces at its end; `VARCHAR(0)` too"},
		{"tinytext", "am", ""},
		{"text", "am", ""},
		{"mediumtext", "am", ""},
		{"longtext", "am", "up to 4 GiB in the server; one row has to fit the memory once"},
		{"binary(4)", "am", "all its bytes, zeros at the end too"},
		{"varbinary(300)", "am", ""},
		{"tinyblob", "am", ""},
		{"blob", "am", ""},
		{"mediumblob", "am", ""},
		{"longblob", "am", ""},
		{"date", "am", "years 0000 to 9999; `0000-00-00` and dates without month or day are kept"},
		{"time(6)", "am", "a signed span, up to 838:59:59.999999"},
		{"datetime(6)", "am", "without a zone; zero and partial dates are kept"},
		{"timestamp(6)", "am", "an instant, whatever the zones of the sessions; the zero value is kept apart from 1970"},
		{"year(4)", "am", "0 for `0000`"},
		{"enum('a','b')", "am", "the label; the value for errors is an empty text. Labels that the catalogue cannot print are asked of the server in another way: on MySQL that takes the right to make temporary tables"},
		{"set('a','b')", "am", "labels in the order declared, joined by commas; up to 64"},
		{"json", "am", "the text that the server prints. MariaDB keeps the text as it was written, in a `longtext` with a check; MySQL's binary form is written out: dates in it as texts with six digits of fraction, decimals as numbers, other types as `\"base64:type…\"`"},
		{"uuid", "a", "as the server prints it"},
		{"inet4", "a", ""},
		{"inet6", "a", ""},
		{"geometry", "am", "SRID, four bytes, little-endian; then WKB. It is what the server stores"},
		{"point", "am", ""},
		{"linestring", "am", ""},
		{"polygon", "am", ""},
		{"multipoint", "am", ""},
		{"multilinestring", "am", ""},
		{"multipolygon", "am", ""},
		{"geometrycollection", "am", "MySQL calls it `geomcollection`"},
	}
}

func typeReference(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# Types of MariaDB and MySQL

Written by a test from the types that the connector declares: do not edit it by hand. Each value is the same by snapshot and by stream, and is what the server's own client prints; the
tests try every type that the server itself lists. What a target makes of the kinds stands with the target.

| type | servers | kind | in CSV | notes |
|---|---|---|---|---|
`)
	shape := codec.Shape{Table: &row.Table{Name: row.Name{Space: "d", Table: "t"}}}
	for i, d := range declaredTypes() {
		typ, err := parseType(d.native, "utf8mb4", "utf8mb4_general_ci")
		if err != nil {
			t.Fatal(err)
		}
		shape.Table.Columns = append(shape.Table.Columns, row.Column{Name: fmt.Sprintf("c%d", i), Type: typ})
	}
	format, err := csv.Format.New(option.Of(csv.Format.Options, nil))
	if err != nil {
		t.Fatal(err)
	}
	written := format.Columns(shape)
	for i, d := range declaredTypes() {
		_, form, _ := strings.Cut(written[i], " ")
		servers := map[string]string{"am": "both", "a": "MariaDB", "m": "MySQL"}[d.servers]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.native, servers, shape.Table.Columns[i].Type.Kind, form, d.note)
	}
	b.WriteString(`
**Columns.** Generated ones, virtual and stored, and invisible ones are columns like any other. A column that MariaDB stores ` + "`COMPRESSED`" + ` is what it is without that.

**Absent.** With ` + "`binlog_row_image`" + ` ` + "`MINIMAL`" + ` or ` + "`NOBLOB`" + ` what the log did not carry is absent, which is not null.

**Not read.** System-versioned tables: their history is logged as rows of its own, with the period in their keys, and a snapshot sees the current rows alone. ` + "`SOURCE_TYPE`" + `.
`)
	return b.String()
}

// TestTypeReference_when_written says that docs/connectors/mysql.md is fresh and has every
// type of the cases. With GODWIT_UPDATE=1 it writes the page.
func TestTypeReference_when_written(t *testing.T) {
	const path = "../../../docs/connectors/mysql.md"
	text := typeReference(t)
	if os.Getenv("GODWIT_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // it is part of the source
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != text {
		t.Errorf("%s is not fresh (%v): run this test with GODWIT_UPDATE=1", path, err)
	}
	for _, c := range slices.Concat(valueCases, moreCases(), mysqlCases()) {
		word := plainName(nativeWord(c.typ))
		if word != "bool" && !slices.ContainsFunc(declaredTypes(), func(d declared) bool { return nativeWord(d.native) == word }) {
			t.Errorf("%s is not declared", c.typ)
		}
	}
}
