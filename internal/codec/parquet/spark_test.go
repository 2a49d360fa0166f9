package parquet_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/codec"
	"godwit/internal/codec/codectest"
	"godwit/internal/codec/parquet"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/judge"
)

// sparkTexts writes as text what Spark takes for no type: times of day and UUIDs.
func sparkTexts(_ row.Name, column string) codec.Unfit {
	if strings.HasPrefix(column, "time") && !strings.HasPrefix(column, "timestamp") || column == "uuid" {
		return codec.AsText
	}
	return codec.Nullify
}

// Spark reads every kind of value, with times of day and UUIDs as text; a file that has
// their own types it refuses, as docs/file-formats.md says.
func TestFormat_when_Spark_reads_it_back(t *testing.T) {
	if os.Getenv("GODWIT_SOAK") != "1" {
		t.Skip("Spark is fetched in a soak only")
	}
	s := judge.Spark(t)
	made, err := parquet.Format.New(option.Of(parquet.Format.Options, nil))
	if err != nil {
		t.Fatal(err)
	}
	text := func(t row.Type, v string) (string, error) {
		if t.Kind == row.Time || t.Native == "uuid" {
			return v, nil
		}
		return arrowText(t, v)
	}
	v := codectest.Variant{Read: arrowRead(s.Parquet, text), Gap: func(t row.Type, word uint64, data []byte) bool {
		return t.Kind != row.Time && gap(t, word, data)
	}}
	for _, c := range codectest.Checks() {
		if c.Name != "every kind in a changelog" && c.Name != "texts that need care" {
			continue
		}
		if err := c.Run(t.TempDir(), made.(codec.Fitter).Fit(sparkTexts), v); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for kind, column := range map[string]row.Type{"TIME(MICROS": {Kind: row.Time}, "(UUID)": {Kind: row.Text, Native: "uuid"}} {
		tab := table(row.Column{Name: "x", Type: column})
		x := row.NewBuilder(&row.Pool{})
		x.At("placeplace", 1, row.Txn{})
		x.Row(tab, row.Insert)
		x.Null()
		path := filepath.Join(t.TempDir(), "x.parquet")
		b := x.Finish(position.Position{}, 0)
		if err := os.WriteFile(path, file(t, open(t, codec.Refuse, nil), codec.Shape{Table: tab}, b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Parquet(ctx, path); err == nil || !strings.Contains(err.Error(), kind) {
			t.Errorf("a file with a column of type %s: %v", kind, err)
		}
	}
}
