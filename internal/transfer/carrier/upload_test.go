package carrier

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/store"
	"godwit/test/golden"
)

func noSync(*os.File) error { return nil }

func exampleUpload(t *testing.T, path string) *upload {
	t.Helper()
	at := time.Date(2026, 11, 24, 12, 0, 0, 5, time.UTC)
	u, err := createUpload(path, uploadHead{
		Key: "2025/a.mov", Name: "b.mov", Upload: "text of the target", PartSize: 10, Begun: at,
		Source: source{Size: 25, Modified: at, Version: "v7", Sums: []store.Sum{{Algorithm: store.MD5, Value: "00ff", Parts: 3, PartSize: 10}}},
	}, noSync)
	if err != nil {
		t.Fatal(err)
	}
	md5 := store.Sum{Algorithm: store.MD5, Value: "0123"}
	for _, p := range []donePart{
		{store.Part{N: 3, Size: 5, Sum: md5, Token: "t3"}, []store.Sum{md5, {Algorithm: store.CRC32C, Value: "01020304"}}},
		{store.Part{N: 1, Size: 10}, []store.Sum{{Algorithm: store.CRC32C, Value: "0a0b0c0d"}}},
	} {
		if err := u.add(p); err != nil {
			t.Fatal(err)
		}
	}
	u.close()
	return u
}

func TestUpload_golden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.upload")
	wrote := exampleUpload(t, path)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden.Same(t, "testdata/upload-v1.jsonl", got)
	back, good, err := readUpload(bytes.NewReader(got))
	if err != nil || good != int64(len(got)) || !reflect.DeepEqual(back.uploadHead, wrote.uploadHead) || !reflect.DeepEqual(back.done, wrote.done) {
		t.Fatalf("read back %+v, %d, %v", back, good, err)
	}
	if _, _, err := readUpload(bytes.NewReader([]byte("{\"version\":2}\n"))); !fault.Has(err, fault.FormatNewer) {
		t.Fatalf("a newer file: %v", err)
	}
	if name := filepath.Base(uploadPath("d", "2025/a.mov", "b.mov")); name != "8a03ba16c5f8588e934a18ae63619c85.upload" {
		t.Errorf("the file's name changed: %s", name)
	}
}

func TestUpload_when_torn_anywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.upload")
	exampleUpload(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		for _, tail := range [][]byte{nil, make([]byte, 40), []byte("{\"n\":99,\"size\":1}\n")} {
			if err := os.WriteFile(path, append(bytes.Clone(whole[:n]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			u, err := openUpload(path)
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			lines := bytes.Count(whole[:n], []byte("\n"))
			if (u == nil) != (lines == 0) {
				t.Fatalf("cut at %d: %+v", n, u)
			}
			if u == nil {
				continue
			}
			if len(u.done) != lines-1 {
				t.Fatalf("cut at %d: %d parts of %d lines", n, len(u.done), lines)
			}
			// What is added afterwards must be readable.
			if err := u.add(donePart{Part: store.Part{N: 2, Size: 10}}); err != nil {
				t.Fatal(err)
			}
			u.close()
			again, err := openUpload(path)
			if err != nil || len(again.done) != lines {
				t.Fatalf("cut at %d and added to: %+v, %v", n, again, err)
			}
			again.close()
		}
	}
}

func TestJoinCRC_when_data_is_cut_anywhere(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	data := make([]byte, 5000)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	want := crc32.Checksum(data, table)
	for i := 0; i <= len(data); i += 1 + i/7 {
		if got := joinCRC(crc32.Checksum(data[:i], table), crc32.Checksum(data[i:], table), int64(len(data)-i)); got != want {
			t.Fatalf("cut at %d: %08x, not %08x", i, got, want)
		}
	}
}

func TestHashes_when_the_sum_is_of_parts(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100)
	for _, size := range []int64{1, 7, 10, 250, 999, 1000, 2000} {
		var parts []donePart
		for off := int64(0); off < 1000; off += size {
			piece := data[off:min(1000, off+size)]
			h := newHashes([]kind{{algorithm: store.MD5}, {algorithm: store.CRC32C}})
			h.write(piece)
			parts = append(parts, donePart{store.Part{Size: int64(len(piece))}, h.sums()})
		}
		together := ofParts(parts, size)
		stream := newHashes([]kind{{store.MD5, size}, {store.CRC32C, size}, {algorithm: store.CRC32C}})
		for i := 0; i < len(data); i += 33 {
			stream.write(data[i:min(len(data), i+33)])
		}
		for _, sum := range stream.sums() {
			found := false
			for _, other := range together {
				found = found || sum == other
			}
			if !found {
				t.Errorf("parts of %d: %+v is not among %+v", size, sum, together)
			}
		}
	}
}
