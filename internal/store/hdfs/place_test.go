package hdfs

import (
	"testing"

	"godwit/internal/fault"
	servers "godwit/test/servers/hdfs"
)

func TestNests_when_clusters_and_folders_are_named_in_each_way(t *testing.T) {
	conf := confFolder(t, "")
	open := func(given map[string]any) *Store {
		c, err := named(given, "HADOOP_USER_NAME", lark, "HADOOP_CONF_DIR", conf)
		must(t, err)
		s, err := newStore(c)
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	url := func(u string) map[string]any { return map[string]any{"url": u} }
	for _, c := range []struct {
		outer, inner, prefix string
		in                   bool
	}{
		{"hdfs://lake/data", "hdfs://lake/data", "", true},
		{"hdfs://lake/data", "hdfs:///data/", "", true},
		{"hdfs://lake/data", "hdfs://TWO.example.org/data/x/y", "x/y/", true},
		{"hdfs://one.example.org:8020/data", "hdfs://lake/data/x", "x/", true},
		{"hdfs://lake/", "hdfs://lake/data", "data/", true},
		{"hdfs://lake/data/x", "hdfs://lake/data", "", false},
		{"hdfs://lake/data", "hdfs://lake/data2", "", false},
		{"hdfs://lake/data", "hdfs://other/data", "", false},
		{"hdfs://lake/data", "hdfs://one.example.org:9000/data", "", false},
	} {
		prefix, in, err := open(url(c.outer)).Nests(open(url(c.inner)))
		if prefix != c.prefix || in != c.in || err != nil {
			t.Errorf("%s in %s: %q, %v, %v", c.inner, c.outer, prefix, in, err)
		}
	}
}

func TestThere_on_a_cluster(t *testing.T) {
	server := servers.Shared(t)
	root := server.Folder(t, lark) + "/source"
	s := at(t, server, root, nil)
	if err := s.There(t.Context()); !fault.Has(err, fault.StoreMissing) {
		t.Errorf("where nothing is: %v", err)
	}
	must(t, s.mkdirs(t.Context(), root))
	must(t, s.There(t.Context()))
}
