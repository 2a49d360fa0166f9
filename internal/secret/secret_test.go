package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestText_never_shows(t *testing.T) {
	const canary = "canary-7f3a"
	s := New(canary)
	in := struct {
		S Text
		P *Text
	}{s, &s}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "in", in)
	all := fmt.Sprintf("%s %v %+v %#v %q %x %s", s, s, in, in, s, s, in) + string(b) + log.String()
	if strings.Contains(all, canary) || strings.Contains(all, fmt.Sprintf("%x", canary)) {
		t.Fatalf("the secret shows in %s", all)
	}
	if s.Reveal() != canary || s.IsZero() {
		t.Fatal("the secret is lost")
	}
}
