package sourcetest

import (
	"fmt"
	"strings"
)

// MariaDB is the dialect of MariaDB 10.11, with every type that sources of it
// move.
func MariaDB() Dialect {
	return Dialect{
		Columns: mariadbColumns(),
		Keys:    mariadbKeys(),
		Session: "SET SESSION time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'; ",
		Partial: "SET GLOBAL binlog_row_image = 'MINIMAL'", Whole: "SET GLOBAL binlog_row_image = 'FULL'",
		Unlogged: "SET SESSION binlog_format = 'STATEMENT'; UPDATE %s SET n = n + 1 WHERE id = 1",
		Prune:    "FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY", Oldest: "SHOW BINARY LOGS",
		Settle: "ANALYZE TABLE %s",
		Reset:  "RESET MASTER", Rotate: "FLUSH BINARY LOGS",
		Impatient: "SET GLOBAL net_write_timeout = 2, GLOBAL slave_net_timeout = 10",
	}
}

// integers returns least and greatest values of a size in bits.
func integers(bits int) (signed, unsigned []string) {
	signed = []string{"0", "1", "-1", fmt.Sprint(-int64(1) << (bits - 1)), fmt.Sprint(int64(1)<<(bits-1) - 1)}
	unsigned = []string{"0", "1", fmt.Sprint(uint64(1) << (bits - 1)), fmt.Sprint(^uint64(0) >> (64 - bits))}
	return signed, unsigned
}

func mariadbColumns() []Column {
	var out []Column
	add := func(typ, print string, values ...string) {
		name := fmt.Sprintf("c%d", len(out))
		if print != "" {
			print = strings.ReplaceAll(print, "@", name)
		}
		out = append(out, Column{name, typ, print, values})
	}
	for _, x := range []struct {
		name string
		bits int
	}{{"TINYINT", 8}, {"SMALLINT", 16}, {"MEDIUMINT", 24}, {"INT", 32}, {"BIGINT", 64}} {
		signed, unsigned := integers(x.bits)
		add(x.name, "", signed...)
		add(x.name+" UNSIGNED", "", unsigned...)
	}
	add("BOOLEAN", "", "0", "1")
	add("DECIMAL(10,2)", "", "0", "0.01", "-0.01", "99999999.99", "-99999999.99", "1.1")
	add("DECIMAL(65,30)", "", "0", "99999999999999999999999999999999999.999999999999999999999999999999", "-99999999999999999999999999999999999.999999999999999999999999999999", "0.000000000000000000000000000001")
	add("DECIMAL(9,0) UNSIGNED", "", "0", "999999999")
	add("DECIMAL(30,30)", "", "0", "-0.999999999999999999999999999999")
	add("FLOAT", "CONCAT(CAST(@ AS DOUBLE))", "0", "1.5", "-1.5", "3.40282e38", "1.17549e-38", "0.1")
	add("DOUBLE", "", "0", "1.5", "-0.1", "1.7976931348623157e308", "2.2250738585072014e-308", "123456789.123456789")
	add("CHAR(10) CHARACTER SET utf8mb4", "", "''", "'a'", "'🐦é'", "'trail  '")
	add("CHAR(10) CHARACTER SET latin1", "", "''", "'é'", "'ÿ€'")
	add("VARCHAR(200) CHARACTER SET utf8mb4", "", "''", "'\\\\N'", "'a\"b,c\\nd\\r\\n'", "'NULL'", "'日本語🐦'", "REPEAT('é', 200)", "'sp  '")
	add("VARCHAR(300) CHARACTER SET latin1", "", "''", "'äöüß€'", "REPEAT('ä', 300)")
	add("TINYTEXT", "", "''", "REPEAT('x', 255)")
	add("TEXT CHARACTER SET latin1", "", "''", "'é'", "REPEAT('é', 65535)")
	add("MEDIUMTEXT", "", "''", "REPEAT('日', 70000)")
	add("LONGTEXT", "", "''", "'<>&\\''")
	add("BINARY(4)", "", "X'00000000'", "X'01'", "X'FFFFFFFF'", "X'0A00'")
	add("VARBINARY(300)", "", "X''", "X'00'", "X'00FF0A0D2C2200'", "REPEAT(X'FE', 300)")
	add("TINYBLOB", "", "X''", "REPEAT(X'00', 255)")
	add("BLOB", "", "X''", "X'C3'")
	add("LONGBLOB", "", "X''", "REPEAT(X'F0', 70000)")
	add("DATE", "", "'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'2020-00-00'")
	for _, n := range []string{"0", "1", "2", "3", "4", "5", "6"} {
		add("TIME("+n+")", "", "'00:00:00'", "'-838:59:59'", "'838:59:59'", "'-00:00:01'", "'12:34:56.123456'", "'-00:00:00.5'", "'-01:00:00.999999'")
		add("DATETIME("+n+")", "", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'2024-02-29 12:34:56.123456'")
		add("TIMESTAMP("+n+") NULL DEFAULT NULL", "", "'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-02-29 12:34:56.654321'")
	}
	add("YEAR", "", "0", "1901", "2155", "2026")
	add("ENUM('a','b','it''s','é')", "", "'a'", "'it''s'", "'é'", "''")
	add("SET('a','b','c d','é')", "", "''", "'a'", "'a,b'", "'é,b,a'")
	add("JSON", "", "'{}'", "'{\"a\": [1, null, \"é🐦\"]}'", "'null'", "'[]'")
	add("BIT(1)", "@+0", "b'0'", "b'1'")
	add("BIT(20)", "@+0", "b'0'", "b'11111111111111111111'", "b'101'")
	add("BIT(64)", "@+0", "b'0'", "18446744073709551615", "b'1'")
	return out
}

func mariadbKeys() []Key {
	const shift = 1000000 // makes numbers of keys positive
	one := func(name, typ string, literal func(i int) string) Key {
		return Key{Name: name, Columns: []Column{{Name: "k", Type: typ}}, Literals: func(i int) []string { return []string{literal(i)} }}
	}
	return []Key{
		{Name: "integer", Columns: []Column{{Name: "id", Type: "INT"}}, Literals: integer},
		{Name: "composite", Columns: []Column{{Name: "a", Type: "SMALLINT"}, {Name: "b", Type: "VARCHAR(20)"}}, Literals: func(i int) []string {
			return []string{fmt.Sprint((i + shift) / 100), fmt.Sprintf("'b%02d'", (i+shift)%100)}
		}},
		{Name: "none", Whole: true},
		one("unsigned", "BIGINT UNSIGNED", func(i int) string { return fmt.Sprint(uint64(1)<<63 + uint64(i+shift)*3) }),
		one("string", "VARCHAR(40)", func(i int) string { return fmt.Sprintf("'user-%07d'", i+shift) }),
		one("latin1", "CHAR(20) CHARACTER SET latin1", func(i int) string { return fmt.Sprintf("'é%07d'", i+shift) }),
		one("binary", "BINARY(8)", func(i int) string { return fmt.Sprintf("X'%08XFE00'", i+shift) }),
		one("moment", "DATETIME(3)", func(i int) string {
			return fmt.Sprintf("'2020-01-01 00:00:00.000' + INTERVAL %d SECOND", i)
		}),
		one("decimal", "DECIMAL(20,4)", func(i int) string { return fmt.Sprintf("%d.0625", i) }),
	}
}
