package local

import (
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/fault"
)

func TestState_when_two_want_it(t *testing.T) {
	root := t.TempDir()
	if s, err := OpenState(root, "j", false); s != nil || err != nil {
		t.Fatalf("looking at a state that is not there: %v, %v", s, err)
	}
	a, err := OpenState(root, "j", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(root, "j", true); !fault.Has(err, fault.StateLocked) {
		t.Fatalf("a second run got the lock: %v", err)
	}
	if other, err := OpenState(root, "k", true); err != nil {
		t.Fatalf("another job: %v", err)
	} else if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	look, err := OpenState(root, "j", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StartRun(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if last, err := look.Last(t.Context()); err != nil || last.Run != 7 || last.Holder != os.Getpid() || !last.Ended.IsZero() {
		t.Fatalf("%+v, %v", last, err)
	}
	if err := a.EndRun(t.Context(), 7, 3, "because"); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if last, err := look.Last(t.Context()); err != nil || last.Holder != 0 || last.Exit != 3 || last.Outcome != "because" || last.Ended.IsZero() {
		t.Fatalf("%+v, %v", last, err)
	}
	if err := look.Close(); err != nil {
		t.Fatal(err)
	}
	a, err = OpenState(root, "j", true)
	if err != nil {
		t.Fatalf("after the first run ended: %v", err)
	}
	defer a.Close()
	if n, err := a.LastRun(t.Context()); n != 7 || err != nil {
		t.Fatalf("last run %d, %v", n, err)
	}
	if info, err := os.Stat(a.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestState_when_of_a_newer_version(t *testing.T) {
	root := t.TempDir()
	s, err := OpenState(root, "j", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(root, "j", true); !fault.Has(err, fault.FormatNewer) {
		t.Fatalf("a newer state was opened: %v", err)
	}
}

func TestState_when_the_folder_cannot_be_used(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "j"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(root, "j", true); !fault.Has(err, fault.StateBroken) {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "k"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "k", "state.db"), []byte("not a database, only some text that is longer than a header would be........................................"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(root, "k", true); !fault.Has(err, fault.StateBroken) {
		t.Fatal(err)
	}
}

func TestState_kept(t *testing.T) {
	s, err := OpenState(filepath.Join(t.TempDir(), "50% #1?"), "j", true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got map[string]string
	if had, err := s.Kept(t.Context(), "k", &got); had || err != nil {
		t.Fatal(had, err)
	}
	if err := s.Keep(t.Context(), "k", map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	if had, err := s.Kept(t.Context(), "k", &got); !had || err != nil || got["a"] != "b" {
		t.Fatal(had, err, got)
	}
}
