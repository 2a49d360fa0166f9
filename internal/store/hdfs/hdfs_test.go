package hdfs

import (
	"strings"
	"testing"
	"time"

	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/storetest"
	servers "godwit/test/servers/hdfs"
)

const lark = "lark"

// at opens a store in a folder of a cluster.
func at(t testing.TB, server *servers.Server, path string, more map[string]any) *Store {
	t.Helper()
	given := map[string]any{"path": path, "namenodes": server.NameNodes, "user": lark}
	for k, v := range more {
		given[k] = v
	}
	s, err := Driver().Open(t.Context(), option.Of(fields(), given), store.Env{Staging: "_godwit/staging"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Store)
}

func TestStore_on_a_cluster(t *testing.T) {
	server := servers.Shared(t)
	storetest.Run(t, func(t *testing.T) store.Store {
		s := at(t, server, server.Folder(t, lark)+"/new/lake", nil)
		s.listBytes = 2 << 10
		return s
	}, storetest.Options{
		Second: func(t *testing.T, first store.Store) store.Store {
			return at(t, server, first.(*Store).root, nil)
		},
		Holds: noColon,
		BadKeys: []string{
			"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/..", "./a", "a/./b", "a\x00b", "\xff", "a:b", "a/.snapshot/b",
			"_godwit/staging", "_godwit/staging/x", strings.Repeat("k", 256), "a/" + strings.Repeat("k", 256) + "/b",
		},
		ListObjects: 100, Rounds: 4, Keeps: keeps,
	})
}

// keeps is what HDFS keeps of attributes.
func keeps(a *store.Attributes) {
	*a = store.Attributes{Mode: a.Mode, Modified: a.Modified.Truncate(time.Millisecond)}
}

// noColon says which of the kit's keys HDFS takes.
func noColon(key string) bool { return !strings.Contains(key, ":") }
