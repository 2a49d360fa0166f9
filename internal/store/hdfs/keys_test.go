package hdfs

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"godwit/internal/store"
	servers "godwit/test/servers/hdfs"
)

func TestStore_when_keys_to_encrypt_data_end(t *testing.T) {
	server := servers.Start(t, servers.Options{DataNodes: 2, Conf: map[string]string{
		"dfs.block.access.token.enable": "true", "dfs.encrypt.data.transfer": "true",
		"dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
	}})
	outlivesKeys(t, server, at(t, server, server.Folder(t, lark), map[string]any{"block_size": int64(testBlock), "replication": int64(2)}))
}

// outlivesKeys: the keys of a cluster end, after hours, and with them what was made with
// them: keys to encrypt data with, and tokens for blocks. Connections are older, and files
// have been begun before.
func outlivesKeys(t *testing.T, server *servers.Server, s *Store) {
	data := varied(3*testBlock + 300_000)
	const some = testBlock + testBlock/2
	for range links {
		must(t, put(s, "before", data))
		holds(t, s, "before", data)
	}
	r, _, err := s.Open(t.Context(), "before", store.Read{})
	must(t, err)
	defer r.Close()
	read := make([]byte, some)
	_, err = io.ReadFull(r, read)
	must(t, err)
	g, err := s.Stage(t.Context(), "long", store.PutOptions{})
	must(t, err)
	_, err = g.Write(data[:some])
	must(t, err)
	server.Do(t, "new-keys")
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(read, rest...), data) {
		t.Errorf("read %d bytes and then %d of %d, %v", some, len(rest), len(data), err)
	}
	_, err = g.Write(data[some:])
	must(t, err)
	receipt, err := g.Close()
	must(t, err)
	if o, err := s.Publish(t.Context(), receipt); o != store.Published || err != nil {
		t.Fatalf("Publish: %d, %v", o, err)
	}
	holds(t, s, "long", data)
	for range links {
		holds(t, s, "before", data)
		must(t, put(s, "after", data))
		holds(t, s, "after", data)
	}
	removedMeanwhile(t, server, s)
}

// removedMeanwhile: what can be read no more is looked for again, and is not there.
func removedMeanwhile(t *testing.T, server *servers.Server, s *Store) {
	r, _, err := s.Open(t.Context(), "after", store.Read{})
	must(t, err)
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, testBlock))
	must(t, err)
	must(t, s.Delete(t.Context(), "after"))
	server.Do(t, "new-keys")
	if _, err := io.ReadAll(r); !errors.Is(err, store.ErrChanged) {
		t.Errorf("what was removed: %v", err)
	}
}
