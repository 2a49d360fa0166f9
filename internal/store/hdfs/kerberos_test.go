package hdfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
	servers "godwit/test/servers/hdfs"
)

// withKeytab are the options of a cluster with Kerberos.
func withKeytab(server *servers.Server, protection, keytab string) map[string]any {
	kerberos := option.Of(kerberosFields(), map[string]any{
		"principal": lark, "keytab": keytab, "krb5_conf": server.Krb5(), "service_principal": "hdfs/_HOST",
	})
	return map[string]any{"user": "", "kerberos": kerberos, "protection": protection}
}

// shortTickets are withKeytab's with tickets that are asked for no more than 5 s.
func shortTickets(t *testing.T, server *servers.Server) map[string]any {
	conf, err := os.ReadFile(server.Krb5())
	must(t, err)
	path := filepath.Join(t.TempDir(), "krb5.conf")
	must(t, os.WriteFile(path, []byte(strings.Replace(string(conf), "[libdefaults]", "[libdefaults]\n ticket_lifetime = 5s", 1)), 0o600))
	out := withKeytab(server, "authentication", server.Keytab())
	out["kerberos"] = option.Of(kerberosFields(), map[string]any{"principal": lark, "keytab": server.Keytab(), "krb5_conf": path, "service_principal": "hdfs/_HOST"})
	return out
}

// The ways in which Hadoop protects calls and data.
func TestStore_when_the_cluster_has_Kerberos(t *testing.T) {
	aes := map[string]string{"dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding"}
	for _, o := range []servers.Options{
		{Kerberos: "authentication", RPC: "integrity", DataNodes: 2},
		{Kerberos: "privacy", RPC: "privacy", DataNodes: 2, Conf: aes},
	} {
		protection := o.Kerberos
		t.Run("data "+o.Kerberos+", calls "+o.RPC, func(t *testing.T) {
			server := servers.Start(t, o)
			folder := server.Folder(t, lark)
			s := at(t, server, folder, withKeytab(server, protection, server.Keytab()))
			must(t, put(s, "k", large))
			holds(t, s, "k", large)
			must(t, s.Create(t.Context(), "c", []byte("created")))
			r, err := stage(s, "staged", large)
			must(t, err)
			if o, err := s.Publish(t.Context(), r); o != store.Published || err != nil {
				t.Errorf("Publish: %d, %v", o, err)
			}
			holds(t, s, "staged", large)
			for _, f := range server.Files(t, folder) {
				if f.Owner != lark {
					t.Errorf("%+v", f)
				}
			}
			if protection == "authentication" {
				refusesStrangers(t, server, folder)
				livesOnCache(t, server, folder)
				outlives(t, at(t, server, folder, shortTickets(t, server)))
			}
			more := withKeytab(server, protection, server.Keytab())
			more["block_size"], more["replication"] = int64(testBlock), int64(2)
			s = at(t, server, folder, more)
			outlivesKeys(t, server, s)
			server.Do(t, "stop-datanode", "0")
			must(t, put(s, "blocks on a dead node", large))
			holds(t, s, "blocks on a dead node", large)
		})
	}
}

// refusesStrangers: what is wrong is said, with what to do.
func refusesStrangers(t *testing.T, server *servers.Server, folder string) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	must(t, os.WriteFile(garbage, []byte("no keys"), 0o600))
	wrong := map[string]map[string]any{
		"no Kerberos":     {},
		"a broken keytab": withKeytab(server, "authentication", garbage),
		"no keytab":       withKeytab(server, "authentication", garbage+"?"),
		"another's keys":  withKeytab(server, "authentication", filepath.Join(filepath.Dir(server.Keytab()), "services.keytab")),
	}
	unknown := withKeytab(server, "authentication", server.Keytab())
	unknown["kerberos"] = option.Of(kerberosFields(), map[string]any{"principal": lark, "keytab": server.Keytab(), "krb5_conf": server.Krb5(), "service_principal": "nobody/_HOST"})
	wrong["a name node of another name"] = unknown
	for what, more := range wrong {
		given := map[string]any{"path": folder, "namenodes": server.NameNodes, "user": lark}
		for k, v := range more {
			given[k] = v
		}
		_, err := Driver().Open(t.Context(), option.Of(fields(), given), store.Env{})
		if f := fault.Of(err); f.Code != fault.StoreAuth || f.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// livesOnCache writes with the tickets that kinit gets, for as long as they hold and
// again when kinit was run again.
func livesOnCache(t *testing.T, server *servers.Server, folder string) {
	cache := filepath.Join(t.TempDir(), "cache")
	server.Kinit(t, cache, 4*time.Second)
	got := time.Now()
	kerberos := option.Of(kerberosFields(), map[string]any{"ccache": "FILE:" + cache, "krb5_conf": server.Krb5(), "service_principal": "hdfs/_HOST"})
	s := at(t, server, folder, map[string]any{"user": "", "kerberos": kerberos, "protection": "authentication"})
	must(t, put(s, "cached", large))
	holds(t, s, "cached", large)
	<-time.After(time.Until(got.Add(6 * time.Second)))
	refused := func(why string) {
		t.Helper()
		for _, l := range s.pool.links {
			if l != nil {
				s.pool.broke(l)
			}
		}
		err := put(s, "cached", nil)
		if f := fault.Of(err); f.Code != fault.StoreAuth || !strings.Contains(f.Hint, "kinit") || !strings.Contains(err.Error(), why) {
			t.Errorf("want %q: %v", why, err)
		}
	}
	refused("its ticket ended at")
	whole, err := os.ReadFile(cache)
	must(t, err)
	for _, n := range []int{0, 1, 40, len(whole) - 1} {
		must(t, os.WriteFile(cache, whole[:n], 0o600))
		refused("ache") // ccache, CCache
	}
	must(t, os.Remove(cache))
	refused("no such file")
	server.Kinit(t, cache, 4*time.Second)
	must(t, put(s, "cached", []byte("again")))
	holds(t, s, "cached", []byte("again"))
}

// outlives writes for longer than a ticket holds, over connections made after its end
// too.
func outlives(t *testing.T, s *Store) {
	c, err := s.cluster.login()
	must(t, err)
	var said strings.Builder
	c.Print(&said)
	_, text, _ := strings.Cut(said.String(), `"EndTime": "`)
	ends, err := time.Parse(time.RFC3339, text[:min(len(text), len("2026-11-26T21:58:40Z"))])
	if err != nil || time.Until(ends) > 6*time.Second {
		t.Fatalf("the ticket holds until %v, %v", ends, err)
	}
	g, err := s.Stage(t.Context(), "long", store.PutOptions{})
	must(t, err)
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); {
		_, err := g.Write([]byte(strings.Repeat("x", 1000)))
		must(t, err)
		for _, l := range s.pool.links {
			if l != nil {
				s.pool.broke(l)
			}
		}
		must(t, put(s, "again", []byte("x")))
		<-time.After(500 * time.Millisecond)
	}
	_, err = g.Close()
	must(t, err)
}
