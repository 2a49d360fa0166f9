package mysql

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/row"
	"godwit/test/golden"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/sqlserver"
)

// TestWideCharsets_when_asked_of_the_server says that the files of charsets have what
// the server makes of each code. With -update it writes them.
func TestWideCharsets_when_asked_of_the_server(t *testing.T) {
	for _, name := range wideNames() {
		srv := server(t)
		if name == "gb18030" { // MariaDB has none
			srv = numbered(t)
		}
		want := serverCodes(t, srv, name)
		golden.Write(t, "charsets/"+name+".z", packCodes(t, want))
		got := loadWide(name).codes
		if !slices.Equal(got, want) {
			t.Errorf("%s has %d codes, the server %d, or others", name, len(got), len(want))
		}
	}
}

// serverCodes asks for the Unicode of every code of a charset.
func serverCodes(t *testing.T, srv *sqlserver.Server, name string) []uint16 {
	var codes []uint16
	// ask appends what the codes are that an expression of the number seq makes.
	ask := func(code string, from, to int) {
		sql := fmt.Sprintf("SELECT seq, HEX(CONVERT(CONVERT(UNHEX(%s) USING %s) USING ucs2)) FROM mysql.seq_%d_to_%d ORDER BY seq", code, name, from, to)
		for _, r := range srv.Query(t, dialect(srv, sql)) {
			u, err := strconv.ParseUint(r[1], 16, 16)
			if err != nil || len(r[1]) != 4 || u == '?' && r[0] != "63" {
				u = 0
			}
			codes = append(codes, uint16(u))
		}
	}
	ask("LPAD(HEX(seq), 2, '0')", 0, 0xff)
	ask("HEX(seq)", 0x8000, 0xffff)
	switch characterBytes(name) {
	case 3:
		ask("CONCAT('8F', HEX(seq))", 0x8000, 0xffff)
	case 4:
		ask("CONCAT(HEX(129 + seq DIV 12600), HEX(48 + seq DIV 1260 % 10), HEX(129 + seq DIV 10 % 126), HEX(48 + seq % 10))", 0, fourCodes-1)
	}
	return codes
}

// numbered starts a MySQL with a table of numbers, which it has no engine for.
func numbered(t *testing.T) *sqlserver.Server {
	srv := mysql.Start(t)
	srv.Exec(t, "SET SESSION cte_max_recursion_depth = 2000; CREATE DATABASE n; CREATE TABLE n.n (seq INT PRIMARY KEY)"+
		" WITH RECURSIVE s(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM s WHERE k < 1087) SELECT a.k * 1024 + b.k AS seq FROM s a, s b WHERE b.k < 1024 AND (a.k < 128 OR a.k > 1083)")
	return srv
}

// sequence is MariaDB's engine of numbers.
var sequence = regexp.MustCompile(`mysql\.seq_(\d+)_to_(\d+)`)

// dialect puts MySQL's words in place of MariaDB's.
func dialect(srv *sqlserver.Server, sql string) string {
	if strings.Contains(srv.Version, "MariaDB") {
		return sql
	}
	return strings.ReplaceAll(sequence.ReplaceAllString(sql, "(SELECT seq FROM n.n WHERE seq BETWEEN $1 AND $2) n"), " COMPRESSED", "")
}

func packCodes(t *testing.T, codes []uint16) []byte {
	plain := make([]byte, 2*len(codes))
	for i, c := range codes {
		plain[i], plain[len(codes)+i] = byte(c>>8), byte(c)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// blocks are the codes of a charset, as SQL that selects a number and so many codes in
// one text: every code of one and of two bytes, of three where there are any, and in
// Unicode every character of the first two planes, and some of the last.
func blocks(charset string, widest int) string {
	joined := func(base int, front string, digits, from, to, size int) string {
		return fmt.Sprintf("SELECT %d + seq DIV %d, CONVERT(UNHEX(GROUP_CONCAT(CONCAT('%s', LPAD(HEX(seq), %d, '0')) ORDER BY seq SEPARATOR '')) USING %s) FROM mysql.seq_%d_to_%d GROUP BY 1",
			base, size, front, digits, charset, from, to)
	}
	unicode := "SELECT 5000 + seq DIV 256, CONVERT(CONVERT(UNHEX(GROUP_CONCAT(LPAD(HEX(seq), 8, '0') ORDER BY seq SEPARATOR '')) USING utf32) USING " + charset + ") FROM mysql.seq_1_to_%d WHERE seq NOT BETWEEN 55296 AND 57343 AND seq NOT BETWEEN 131072 AND 1110000 GROUP BY 1"
	switch charset {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return fmt.Sprintf(unicode, 0x10ffff)
	case "utf8mb3", "ucs2":
		return fmt.Sprintf(unicode, 0xffff)
	}
	parts := []string{joined(0, "", 2, 0, 255, 16)}
	if widest >= 2 {
		parts = append(parts, joined(1000, "", 4, 0x8000, 0xffff, 256))
	}
	if widest >= 3 {
		parts = append(parts, joined(9000, "8F", 4, 0x8000, 0xffff, 256))
	}
	return strings.Join(parts, " UNION ALL ")
}

func TestCharsets_when_every_character_of_each_is_read(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) { everyCharacter(t, mariadb.Start(t)) })
	t.Run("MySQL", func(t *testing.T) { everyCharacter(t, numbered(t)) })
}

func everyCharacter(t *testing.T, srv *sqlserver.Server) {
	const db = "d"
	srv.Exec(t, "CREATE DATABASE d")
	asked := srv.Query(t, "SELECT character_set_name, maxlen FROM information_schema.character_sets WHERE character_set_name <> 'binary' ORDER BY 1")
	if len(asked) < 30 {
		t.Fatalf("the server has %d charsets", len(asked))
	}
	var create, insert strings.Builder
	for _, r := range asked {
		widest, _ := strconv.Atoi(r[1])
		fmt.Fprintf(&create, "CREATE TABLE %s.%s (n VARCHAR(20), id INT, v TEXT CHARACTER SET %[2]s, c CHAR(16) CHARACTER SET %[2]s, p TEXT CHARACTER SET %[2]s COMPRESSED, PRIMARY KEY (n, id));", db, r[0])
		fmt.Fprintf(&insert, "INSERT INTO %s.%s (n, id, v) SELECT '%[2]s', x.* FROM (%[3]s) x; UPDATE %[1]s.%[2]s SET c = LEFT(v, 16), p = v;", db, r[0], blocks(r[0], widest))
	}
	srv.Exec(t, dialect(srv, create.String()))
	s := sourceOf(t, srv, nil)
	tables := discover(t, s, db+".*")
	if len(tables) != len(asked) {
		t.Fatalf("%d tables of %d", len(tables), len(asked))
	}
	from := head(t, s)
	srv.Exec(t, dialect(srv, "SET sql_mode = '', group_concat_max_len = 1000000; "+insert.String()))
	updates := streamed(t, s, tables, from, head(t, s))[row.Update]
	var want, snapshot []string
	fresh := sourceOf(t, srv, nil)
	for _, table := range discover(t, fresh, db+".*") {
		rows, _ := readAll(t, fresh, table, 1<<40)
		snapshot = append(snapshot, rows...)
		// As hex: the client prints another character for NUL.
		got := srv.Query(t, "SET NAMES utf8mb4; SELECT HEX(CONCAT_WS('|', n, id, CONVERT(v USING utf8mb4), CONVERT(c USING utf8mb4), CONVERT(p USING utf8mb4))) FROM "+db+"."+table.Name.Table)
		if len(got) < 8 {
			t.Errorf("%s: %d rows", table.Name, len(got))
		}
		for _, r := range got {
			text, err := hex.DecodeString(r[0])
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(text))
		}
	}
	slices.Sort(want)
	slices.Sort(snapshot)
	compareRows(t, snapshot, want)
	compareRows(t, updates, want)
}
