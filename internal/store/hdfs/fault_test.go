package hdfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
	servers "godwit/test/servers/hdfs"
)

func put(s store.Store, key string, data []byte) error {
	_, err := s.Put(context.Background(), key, store.Body{Size: int64(len(data)), Open: func(off int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data[off:])), nil
	}}, store.PutOptions{})
	return err
}

func get(s store.Store, key string) ([]byte, error) {
	r, _, err := s.Open(context.Background(), key, store.Read{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func stage(s store.Stager, key string, data []byte) (store.Receipt, error) {
	g, err := s.Stage(context.Background(), key, store.PutOptions{})
	if err != nil {
		return store.Receipt{}, err
	}
	if _, err := g.Write(data); err != nil {
		g.Abort()
		return store.Receipt{}, err
	}
	return g.Close()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holds(t testing.TB, s store.Store, key string, want []byte) {
	t.Helper()
	got, err := get(s, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v; want %d", key, len(got), err, len(want))
	}
}

// large is more than two blocks of the store that it is for.
var large = bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)

// flock is a cluster of two name nodes and three data nodes, of which two must have each
// block. One that dies is not missed.
func flock(t *testing.T) *servers.Server {
	conf := unmissed()
	conf["dfs.namenode.replication.min"] = "2"
	return servers.Start(t, servers.Options{HA: true, DataNodes: 3, Conf: conf})
}

func TestStore_when_nodes_go_away(t *testing.T) {
	server := flock(t)
	s := at(t, server, server.Folder(t, lark), smallBlocks())
	must(t, put(s, "before", large))
	for _, c := range []struct {
		name string
		run  func(*testing.T, *servers.Server, *Store)
	}{
		{"the active name node", activeEnds},
		{"no name node is active for a while", nobodyActive},
		{"a data node", dataNodeEnds},
		{"safe mode", safeMode},
		{"a quota", quota},
		{"the whole cluster", allEnd},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, server, s) })
	}
}

func TestStaging_when_data_nodes_tell_of_blocks_late(t *testing.T) {
	server := servers.Start(t, servers.Options{HA: true, Conf: map[string]string{"dfs.blockreport.incremental.intervalMsec": "4000"}})
	folder := server.Folder(t, lark)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *servers.Server, *Store)
	}{
		{"and more blocks come", moreBlocks},
		{"and a failover comes first", failoverFirst},
		{"and the only one ends", onlyDataNodeEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, server, at(t, server, folder, map[string]any{"block_size": int64(2 << 20)}))
		})
	}
}

// moreBlocks: data nodes tell once in a second at most, and the name node gives no block
// while it has not been told of the one before the last.
func moreBlocks(t *testing.T, _ *servers.Server, s *Store) {
	var said strings.Builder
	s.log = slog.New(slog.NewTextHandler(&said, nil))
	g, err := s.Stage(t.Context(), "long", store.PutOptions{})
	must(t, err)
	var written []byte
	for !strings.Contains(said.String(), "NotReplicatedYetException") {
		if len(written) > 40*len(large) {
			t.Fatal("each block was there at once: nothing is tried here")
		}
		for p := large; len(p) > 0; p = p[min(len(p), 300_000):] { // blocks end within a write
			_, err := g.Write(p[:min(len(p), 300_000)])
			must(t, err)
		}
		written = append(written, large...)
	}
	r, err := g.Close()
	must(t, err)
	o, err := s.Publish(t.Context(), r)
	if o != store.Published || err != nil {
		t.Fatalf("published %d, %v", o, err)
	}
	holds(t, s, "long", written)
}

// onlyDataNodeEnds: it is that one which people are told of.
func onlyDataNodeEnds(t *testing.T, server *servers.Server, s *Store) {
	must(t, put(s, "there", large[:1<<20]))
	g, err := s.Stage(t.Context(), "cut", store.PutOptions{})
	must(t, err)
	_, err = g.Write(large[:1<<20])
	must(t, err)
	server.Do(t, "stop-datanode", "0")
	told := func(what string, err error) {
		t.Helper()
		f := fault.Of(err)
		if f.Code != fault.StoreUnreachable || !strings.Contains(f.Error(), "data node 127.0.0.1:") || strings.Contains(f.Error(), "name node") || !strings.Contains(f.Hint, "hostnames") {
			t.Errorf("%s: %v; %s", what, err, f.Hint)
		}
	}
	told("read", second(get(s, "there")))
	told("write", second(g.Close()))
}

// failoverFirst: the active name node is gone while files wait for their end, and the one
// that takes over has not been told how long they are.
func failoverFirst(t *testing.T, server *servers.Server, s *Store) {
	calls := make(chan struct{}, 1000)
	s.request = func(context.Context) error {
		calls <- struct{}{}
		return nil
	}
	must(t, put(s, "told at once", []byte("x"))) // after which nothing is told for a while
	type staged struct {
		data []byte
		r    store.Receipt
		err  error
	}
	ended := make(chan staged, 4)
	for _, data := range [][]byte{large[:1000], large[:1<<20], large[:2<<20], nil} {
		go func() {
			r, err := stage(s, strconv.Itoa(len(data)), data)
			ended <- staged{data, r, err}
		}()
	}
	none := <-ended
	for len(calls) > 0 {
		<-calls
	}
	for range 10 { // the others are asked about again and again
		select {
		case <-calls:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing waits for the data nodes")
		}
	}
	server.Do(t, "standby", "0")
	server.Do(t, "activate", "1")
	for _, g := range []staged{none, <-ended, <-ended, <-ended} {
		if g.err != nil {
			t.Errorf("%d bytes: %v", len(g.data), g.err)
			continue
		}
		if o, err := s.Publish(t.Context(), g.r); o != store.Published || err != nil {
			t.Errorf("%d bytes: published %d, %v", len(g.data), o, err)
			continue
		}
		holds(t, s, g.r.Key, g.data)
	}
}

func smallBlocks() map[string]any {
	return map[string]any{"block_size": int64(2 << 20), "replication": int64(3)}
}

func activeEnds(t *testing.T, server *servers.Server, s *Store) {
	g, err := s.Stage(t.Context(), "failover", store.PutOptions{})
	must(t, err)
	_, err = g.Write(large[:3<<20])
	must(t, err)
	server.Do(t, "stop-namenode", "0")
	server.Do(t, "activate", "1")
	holds(t, s, "before", large)
	_, err = g.Write(large[3<<20:])
	must(t, err)
	r, err := g.Close()
	must(t, err)
	o, err := s.Publish(t.Context(), r)
	if o != store.Published || err != nil {
		t.Fatalf("Publish: %d, %v", o, err)
	}
	holds(t, s, "failover", large)
	must(t, s.Create(t.Context(), "commits/1", []byte("one")))
	server.Do(t, "start-namenode", "0")
	server.Do(t, "activate", "0")
	if err := s.Create(t.Context(), "commits/1", []byte("two")); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create after the failover: %v", err)
	}
	holds(t, s, "commits/1", []byte("one"))
	must(t, put(at(t, server, s.root, smallBlocks()), "another", large))
}

func nobodyActive(t *testing.T, server *servers.Server, s *Store) {
	g, err := s.Stage(t.Context(), "long", store.PutOptions{})
	must(t, err)
	_, err = g.Write(large[:2<<20])
	must(t, err)
	server.Do(t, "standby", "0")
	done := make(chan error)
	go func() {
		_, err := g.Write(large[2<<20:]) // more blocks
		done <- errors.Join(err, put(s, "waits", large))
	}()
	select {
	case err := <-done:
		t.Fatalf("put while nobody is active: %v", err)
	case <-time.After(time.Second):
	}
	server.Do(t, "activate", "0")
	must(t, <-done)
	holds(t, s, "waits", large)
	r, err := g.Close()
	must(t, err)
	if o, err := s.Publish(t.Context(), r); o != store.Published || err != nil {
		t.Fatalf("Publish: %d, %v", o, err)
	}
	holds(t, s, "long", large)
}

func dataNodeEnds(t *testing.T, server *servers.Server, s *Store) {
	g, err := s.Stage(t.Context(), "cut", store.PutOptions{})
	must(t, err)
	_, err = g.Write(large[:1<<20])
	must(t, err)
	server.Do(t, "stop-datanode", "0")
	holds(t, s, "before", large)
	_, err = g.Write(large)
	if err == nil {
		_, err = g.Close()
	}
	if err == nil || fault.ClassOf(err) != fault.Retry {
		t.Errorf("a file whose data node is gone: %v", err)
	}
	g.Abort()
	for range 5 {
		must(t, put(s, "around", large[:1<<20]))
	}
	holds(t, s, "around", large[:1<<20])
	for _, f := range server.Files(t, s.root) {
		if strings.HasSuffix(f.Path, "/around") && f.Replication != 3 {
			t.Errorf("%+v", f)
		}
		if strings.Contains(f.Path, "/"+tmpMark) {
			t.Errorf("left: %+v", f)
		}
	}
	failoverMeanwhile(t, server, at(t, server, s.root, smallBlocks()))
	server.Do(t, "start-datanode", "0")
}

// failoverMeanwhile: name nodes do what a block on other data nodes needs, and are no longer
// active before they say so.
func failoverMeanwhile(t *testing.T, server *servers.Server, s *Store) {
	g, err := s.Stage(t.Context(), "meanwhile", store.PutOptions{})
	must(t, err)
	data := varied(5 << 20)
	_, err = g.Write(data[:2<<20])
	must(t, err)
	active := 0
	asked := &losing{left: map[string]int{"abandonBlock": 1, "addBlock": 1}, lost: func() {
		active = 1 - active
		server.Do(t, "activate", strconv.Itoa(active))
	}}
	asked.between(s)
	_, err = g.Write(data[2<<20:])
	must(t, err)
	r, err := g.Close()
	must(t, err)
	if o, err := s.Publish(t.Context(), r); o != store.Published || err != nil {
		t.Fatalf("Publish: %d, %v", o, err)
	}
	holds(t, s, "meanwhile", data)
	asked.comeAfter(t, 2<<20)
}

func safeMode(t *testing.T, server *servers.Server, s *Store) {
	server.Do(t, "safemode", "on")
	err := put(s, "safe", []byte("x"))
	if f := fault.Of(err); f.Code != fault.StoreBusy || f.Hint == "" || f.Class() != fault.Retry {
		t.Errorf("put in safe mode: %v", err)
	}
	holds(t, s, "before", large)
	server.Do(t, "safemode", "off")
	must(t, put(s, "safe", []byte("x")))
}

func quota(t *testing.T, server *servers.Server, s *Store) {
	server.Do(t, "quota", s.root, "20000000")
	if err := put(s, "full", large); !fault.Has(err, fault.TargetFull) || fault.Of(err).Hint == "" {
		t.Errorf("put over the quota: %v", err)
	}
	if _, err := stage(s, "full", large); !fault.Has(err, fault.TargetFull) {
		t.Errorf("stage over the quota: %v", err)
	}
	server.Do(t, "quota", s.root, "none")
	must(t, put(s, "full", large))
}

func allEnd(t *testing.T, server *servers.Server, s *Store) {
	r, err := stage(s, "kept", large)
	must(t, err)
	begun, err := s.Stage(t.Context(), "begun", store.PutOptions{})
	must(t, err)
	server.Kill()
	s.patience = 0
	if _, err := begun.Write(large); !fault.Has(err, fault.StoreUnreachable) {
		t.Errorf("write without a cluster: %v", err)
	}
	begun.Abort()
	if err := put(s, "gone", []byte("x")); !fault.Has(err, fault.StoreUnreachable) || fault.Of(err).Hint == "" {
		t.Errorf("put without a cluster: %v", err)
	}
	s.patience = defaultPatience
	must(t, server.Restart())
	if o, err := s.Publish(t.Context(), r); o != store.Published || err != nil {
		t.Fatalf("Publish: %d, %v", o, err)
	}
	holds(t, s, "kept", large)
}

func TestOpen_when_there_is_no_cluster(t *testing.T) {
	_, err := Driver().Open(t.Context(), option.Of(fields(), map[string]any{"path": "/x", "namenodes": []string{"127.0.0.1:1"}, "user": lark}), store.Env{})
	if f := fault.Of(err); f.Code != fault.StoreUnreachable || f.Hint == "" || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error(err)
	}
}

func TestStore_when_permission_is_missing(t *testing.T) {
	server := servers.Shared(t)
	folder := server.Folder(t, "wren")
	s := at(t, server, folder, nil)
	for what, err := range map[string]error{
		"put": put(s, "k", nil), "create": s.Create(t.Context(), "k", nil), "stage": second(stage(s, "k", nil)),
	} {
		f := fault.Of(err)
		if f.Code != fault.StoreRefused || !strings.Contains(f.Error(), "user=lark, access=WRITE") || !strings.Contains(f.Error(), folder) || !strings.Contains(f.Hint, "-chown lark "+folder) {
			t.Errorf("%s: %v; %s", what, err, f.Hint)
		}
	}
	owner := at(t, server, folder, map[string]any{"user": "wren", "file_mode": "0600", "folder_mode": "0700"})
	must(t, put(owner, "secret/k", []byte("x")))
	if _, err := get(s, "secret/k"); !fault.Has(err, fault.StoreRefused) {
		t.Errorf("read: %v", err)
	}
	must(t, put(owner, "open", []byte("x")))
	var bad []string
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			bad = append(bad, o.Key)
		}
	}
	if strings.Join(bad, " ") != "_godwit secret" {
		t.Errorf("errors of the listing at %q", bad)
	}
	if err := put(owner, "secret/k/below", nil); !fault.Has(err, fault.NameRefused) {
		t.Errorf("put below a file: %v", err)
	}
	if err := put(owner, "secret", nil); !fault.Has(err, fault.NameRefused) {
		t.Errorf("put over a folder: %v", err)
	}
	if err := owner.Create(t.Context(), "secret", nil); !fault.Has(err, fault.NameRefused) {
		t.Errorf("create over a folder: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }

func TestSweep_removes_what_the_dead_left_and_nothing_else(t *testing.T) {
	server := servers.Shared(t)
	server.Do(t, "lease", "4000")
	defer server.Do(t, "lease", "60000")
	folder := server.Folder(t, lark)
	s, dead := at(t, server, folder, nil), at(t, server, folder, nil)
	kept, err := stage(s, "staged", []byte("whole"))
	must(t, err)
	live, err := s.Stage(t.Context(), "live", store.PutOptions{})
	must(t, err)
	_, err = live.Write([]byte("live"))
	must(t, err)
	left, err := dead.Stage(t.Context(), "left", store.PutOptions{})
	must(t, err)
	_, err = left.Write(make([]byte, 100_000))
	must(t, err)
	must(t, dead.Close()) // nobody renews its leases
	swept := func(grace time.Duration, want int) {
		t.Helper()
		if n, err := s.Sweep(t.Context(), grace); n != want || err != nil {
			t.Fatalf("swept %d (%v), want %d", n, err, want)
		}
	}
	swept(time.Hour, 0)
	swept(0, 0) // its lease holds
	limit := time.After(60 * time.Second)
	for n := 0; n == 0; {
		n, err = s.Sweep(t.Context(), 0)
		must(t, err)
		select {
		case <-limit:
			t.Fatal("the file of the dead writer stays")
		case <-time.After(100 * time.Millisecond):
		}
	}
	_, err = live.Write([]byte("ly"))
	must(t, err)
	r, err := live.Close()
	must(t, err)
	for _, r := range []store.Receipt{kept, r} {
		if o, err := s.Publish(t.Context(), r); o != store.Published || err != nil {
			t.Errorf("Publish(%q): %d, %v", r.Key, o, err)
		}
	}
	holds(t, s, "live", []byte("lively"))
}
