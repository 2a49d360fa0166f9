package local_test

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

func FuzzKey(f *testing.F) {
	for _, k := range []string{"a", "a/b", "", "/", "..", "a/../b", ".godwit-staging", ".godwit-staging/x", "a\x00", "ü", "\xff", strings.Repeat("k", 256)} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		s := openDisk(t, powerfs.New().Process())
		err := put(s, key, "contents")
		keys := listed(t, s)
		if err != nil {
			if !fault.Has(err, fault.NameRefused) || len(keys) > 0 {
				t.Fatalf("%q: %v, then listed %q", key, err, keys)
			}
			return
		}
		if got, err := get(s, key); got != "contents" || err != nil || len(keys) != 1 || keys[0] != key {
			t.Fatalf("%q: %q, %v, listed %q", key, got, err, keys)
		}
		for cut := 0; cut <= len(key); cut++ {
			n := 0
			for range s.List(background, key[:cut], "") {
				n++
			}
			if n != 1 {
				t.Fatalf("List(%q) finds %d", key[:cut], n)
			}
		}
		must(t, s.Delete(background, key))
		if keys := listed(t, s); len(keys) > 0 {
			t.Fatalf("%q is left", keys)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	s := openDisk(f, powerfs.New().Process())
	r, err := stage(s, "k", "x")
	must(f, err)
	good, err := json.Marshal(r)
	must(f, err)
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), `"k"`, `"../k"`, 1)))
	f.Add([]byte(strings.Replace(string(good), "s-", "../s-", 1)))
	f.Add([]byte(`{"key":"kept","staged":"../kept","size":4,"checksum":"xxh3:"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r store.Receipt
		if json.Unmarshal(data, &r) != nil {
			return
		}
		s := openDisk(t, powerfs.New().Process())
		must(t, put(s, "kept", "kept"))
		mine, err := stage(s, "k", "x")
		must(t, err)
		if o, err := s.Publish(background, r); err == nil && o != store.Taken {
			t.Fatalf("%+v: published %d", r, o)
		} else if err != nil && !fault.Has(err, fault.TargetBroken) && !fault.Has(err, fault.TargetRefused) {
			t.Fatalf("%+v: %v", r, err)
		}
		if err := s.Discard(background, r); err != nil && !fault.Has(err, fault.TargetBroken) {
			t.Fatalf("%+v: %v", r, err)
		}
		if keys := listed(t, s); len(keys) != 1 || keys[0] != "kept" {
			t.Fatalf("%+v: listed %q", r, keys)
		}
		if o, err := s.Publish(background, mine); o != store.Published || err != nil {
			t.Fatalf("%+v: the staged object is gone: %d, %v", r, o, err)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, u := range []string{"file:///data", "file:///a%2e/..", "file://h/x", "file:///%00", "file:////a"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := local.ParseURL(raw)
		if err != nil {
			if !fault.Has(err, fault.JobValue) {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if !path.IsAbs(p) || path.Clean(p) != p || strings.Contains(p, "\x00") {
			t.Fatalf("%q: %q", raw, p)
		}
	})
}
