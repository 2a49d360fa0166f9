package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pingcap/tidb/pkg/parser/ast"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// filler says what rows that exist show in columns that a statement adds.
type filler struct {
	empty bool // there are no rows
	q     queryEvent
	mysql bool
	// ask has the server answer a query in the session's time zone; "": it does not know
	// the zone.
	ask func(sql string) (string, error)
	// unfilled tells why it is not known; empty: it is.
	unfilled string
	// computed: MySQL's catalogue may not have the values of defaults; passing: it has not
	// those of some column that was added.
	computed, passing bool
	failed            error // the server could not be asked
}

// doubt notes the first reason why rows may have other cells than the shapes tell.
func (f *filler) doubt(format string, args ...any) {
	if f != nil && !f.empty && f.unfilled == "" {
		f.unfilled = fmt.Sprintf(format, args...)
	}
}

// compare notes whether a column that was there has other values now.
func (f *filler) compare(old, now row.Column, lax bool) {
	if why := altered(old, now, lax); why != "" {
		f.doubt("column %s: %s", clip(now.Name, 80), why)
	}
}

// fill gives a column that is added what existing rows show in it.
func (f *filler) fill(c *row.Column, def *ast.ColumnDef) {
	var given ast.ExprNode
	null := false
	for _, o := range def.Options {
		switch o.Tp {
		case ast.ColumnOptionDefaultValue:
			given = o.Expr
		case ast.ColumnOptionNull:
			null = true
		case ast.ColumnOptionAutoIncrement:
			f.doubt("column %s numbered the rows that were there", clip(c.Name, 80))
			return
		case ast.ColumnOptionGenerated:
			f.doubt("column %s is generated from others", clip(c.Name, 80))
			return
		}
	}
	if c.Type.Kind == row.Timestamp && given == nil && !null && !f.q.explicit {
		f.doubt("column %s has a default, as explicit_defaults_for_timestamp is off", clip(c.Name, 80))
		return
	}
	text, known := defaultText(*c, given)
	if call, ok := given.(*ast.FuncCallExpr); ok {
		text, known = f.call(*c, call)
		f.passing = true
	} else if known && text != nil && given != nil && c.Type.Kind == row.Timestamp {
		text, known = f.instant(*text)
	}
	if !known {
		f.doubt("what rows show in the new column %s is not in the log", clip(c.Name, 80))
		return
	}
	c.Default = text
	f.passing = f.passing || f.computed && given != nil
}

// call returns what a function gives all rows at the moment of the statement.
func (f *filler) call(c row.Column, call *ast.FuncCallExpr) (*string, bool) {
	name := call.FnName.L
	switch {
	case c.Type.Kind == row.JSON && len(call.Args) == 0 && name == "json_object":
		return ref("{}"), true
	case c.Type.Kind == row.JSON && len(call.Args) == 0 && name == "json_array":
		return ref("[]"), true
	case name != "current_timestamp" && name != "current_date":
		return nil, false
	}
	digits := 0
	if len(call.Args) == 1 {
		v, ok := call.Args[0].(ast.ValueExpr)
		if !ok {
			return nil, false
		}
		digits, _ = strconv.Atoi(fmt.Sprint(v.GetValue()))
	} else if !f.mysql {
		digits = c.Type.Scale // MariaDB takes what the column holds
	}
	if digits != c.Type.Scale || digits > 0 && f.q.fraction < 0 {
		return nil, false
	}
	at := time.Unix(int64(f.q.stamp), int64(max(f.q.fraction, 0))*1000).UTC()
	fraction := ""
	if digits > 0 {
		fraction = at.Format(".000000")[:digits+1]
	}
	switch {
	case c.Type.Kind == row.Timestamp:
		return ref(at.Format(time.DateTime) + fraction), true
	case c.Type.Kind == row.DateTime && name == "current_timestamp":
		local, ok := f.answer(fmt.Sprintf("SELECT CAST(FROM_UNIXTIME(%d) AS CHAR)", f.q.stamp), len(time.DateTime))
		return ref(local + fraction), ok
	case c.Type.Kind == row.Date:
		local, ok := f.answer(fmt.Sprintf("SELECT CAST(FROM_UNIXTIME(%d) AS CHAR)", f.q.stamp), len(time.DateOnly))
		return ref(local), ok
	}
	return nil, false
}

// instant returns, in UTC, what a literal of the session's zone is.
func (f *filler) instant(text string) (*string, bool) {
	if strings.HasPrefix(text, "0000-00-00") {
		return &text, true
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if fraction != "" {
		fraction = "." + fraction
	}
	answer, ok := f.answer("SELECT CAST(UNIX_TIMESTAMP("+quoteText(whole)+") AS CHAR)", 0)
	seconds, err := strconv.ParseInt(answer, 10, 64)
	if !ok || err != nil || seconds <= 0 {
		return nil, false
	}
	return ref(time.Unix(seconds, 0).UTC().Format(time.DateTime) + fraction), true
}

// answer is the front of what the server answers in the session's zone.
func (f *filler) answer(sql string, front int) (string, bool) {
	if f.q.zone == "" || f.ask == nil || f.failed != nil {
		return "", false
	}
	text, err := f.ask(sql)
	if err != nil {
		f.failed = err
	}
	if len(text) < front || text == "" {
		return "", false
	}
	if front > 0 {
		text = text[:front]
	}
	return text, true
}

func ref(s string) *string { return &s }

// inZone has the server answer a query of one cell in a time zone; "": it does not know
// the zone.
func (x *shapes) inZone(ctx context.Context, zone, sql string) (string, error) {
	c, err := x.s.dial(ctx)
	if err != nil {
		return "", err
	}
	defer c.close()
	if err := c.exec(ctx, "SET time_zone = "+quoteText(zone)); err != nil {
		if fault.Has(err, fault.SourceQuery) {
			return "", nil
		}
		return "", err
	}
	rows, err := c.query(ctx, sql)
	if err != nil || len(rows) != 1 || len(rows[0]) != 1 || rows[0][0].null {
		return "", err
	}
	return rows[0][0].text(), nil
}

var (
	wholeNumber   = regexp.MustCompile(`^(0|-?[1-9]\d*)$`)
	decimalNumber = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?$`)
	floatNumber   = regexp.MustCompile(`^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)
	plainDate     = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	plainDateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$`)
	plainTime     = regexp.MustCompile(`^-?\d{2,3}:\d\d:\d\d(\.\d+)?$`)
)

// shown returns what a column shows whose value was written as text; false: the server
// gives it another form, which is not guessed. quoted: it is no number.
func shown(t row.Type, text string, quoted bool) (string, bool) {
	text = defaultForm(t, text)
	_, fraction, _ := strings.Cut(text, ".")
	switch t.Kind {
	case row.Int, row.Uint, row.Bits:
		return text, wholeNumber.MatchString(text)
	case row.Year:
		return text, len(text) == 4 || text == "0" && !quoted
	case row.Decimal:
		return text, decimalNumber.MatchString(text) && len(fraction) <= t.Scale && (text[0] != '-' || strings.Trim(text, "-0.") != "")
	case row.Float32, row.Float64:
		return text, floatNumber.MatchString(text) && !strings.Contains(t.Native, ",")
	case row.Date:
		return text, plainDate.MatchString(text)
	case row.DateTime, row.Timestamp:
		return text, plainDateTime.MatchString(text) && len(fraction) <= t.Scale
	case row.Time:
		return text, plainTime.MatchString(text) && len(fraction) <= t.Scale
	case row.Text:
		return text, t.Charset != "" && (quoted || decimalNumber.MatchString(text))
	case row.Bytes:
		return text, quoted && blobLike(nativeWord(t.Native))
	case row.Enum:
		return text, quoted && slices.Contains(t.Labels, text)
	case row.Labels:
		return text, quoted && (text == "" || inOrder(strings.Split(text, ","), t.Labels))
	case row.JSON:
		return text, text == "{}" || text == "[]" || text == "null"
	}
	return text, false
}
