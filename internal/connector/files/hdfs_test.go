package files

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/option"
	"godwit/internal/store"
	"godwit/internal/store/hdfs"
	servers "godwit/test/servers/hdfs"
)

// The protocol on a real cluster: few histories, each with kills, errors and races.
func TestSink_when_server_is_hdfs(t *testing.T) {
	server := servers.Shared(t)
	folder := server.Folder(t, "lark")
	var worlds atomic.Int64
	sinktest.Interleavings(t, sinktest.Harness{Job: "shop", Sink: "lake", Publishes: "publish", New: func() sinktest.World {
		return &hdfsWorld{t: t, server: server, path: fmt.Sprintf("%s/world %d", folder, worlds.Add(1))}
	}}, 20)
}

// hdfsWorld is a target in a folder of a cluster; each call of the store is a step.
type hdfsWorld struct {
	t      *testing.T
	server *servers.Server
	path   string
	plant  func(*planted) // a bug between the sink and its store; nil: none
}

// The kit finds bugs on a real cluster too.
func TestKit_when_a_bug_is_planted_above_hdfs(t *testing.T) {
	server := servers.Shared(t)
	folder := server.Folder(t, "lark")
	var worlds atomic.Int64
	for _, name := range []string{"fence ignored", "publish before record"} {
		h := sinktest.Harness{Job: "shop", Sink: "lake", Publishes: "publish", New: func() sinktest.World {
			return &hdfsWorld{t: t, server: server, path: fmt.Sprintf("%s/bugs %d", folder, worlds.Add(1)), plant: bugs[name]}
		}}
		var found []error
		played := 0
		for ; played < 40 && len(found) == 0; played += 4 {
			_, found = sinktest.Play(h, uint64(played+1), 4)
		}
		if t.Logf("%s: found in %d histories", name, played); len(found) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

func (w *hdfsWorld) open() (fullStore, error) {
	d := hdfs.Driver()
	st, err := d.Open(context.Background(), option.Of(d.Options, map[string]any{
		"namenodes": w.server.NameNodes, "path": w.path, "user": "lark", "file_mode": "0644", "folder_mode": "0755",
	}), store.Env{Staging: StagingDir})
	if err != nil {
		return nil, err
	}
	return st.(fullStore), nil
}

func (w *hdfsWorld) Start(p *sinktest.Process) (connector.Sink, error) {
	st, err := w.open()
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { _ = st.Close() })
	if w.plant != nil {
		b := &planted{fullStore: &stepped{st, p}, p: p, mine: map[string]uint64{}}
		w.plant(b)
		return testSink(b, testConfig())
	}
	return testSink(&stepped{st, p}, testConfig())
}

func (w *hdfsWorld) Cut(*rand.Rand) {} // the cluster stays

// Look implements sinktest.World, by Hadoop's own client.
func (w *hdfsWorld) Look(tasks []string) (*sinktest.View, error) {
	dir, err := os.MkdirTemp("", "godwit-hdfs-look-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l := &folderReader{dir: filepath.Join(dir, "got")}
	if _, err := w.server.Command("get", w.path, l.dir); err != nil && !strings.Contains(err.Error(), "FileNotFound") {
		return nil, err
	}
	err = filepath.WalkDir(l.dir, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		key, _ := filepath.Rel(l.dir, path)
		if err == nil && !d.IsDir() && !strings.HasPrefix(key, StagingDir+"/") {
			l.listed = append(l.listed, key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return look(l, tasks)
}

// folderReader reads what was fetched.
type folderReader struct {
	dir    string
	listed []string
}

func (l *folderReader) keys() []string { return l.listed }

func (l *folderReader) object(key string) ([]byte, error) {
	f, err := os.Open(filepath.Join(l.dir, key))
	if os.IsNotExist(err) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (l *folderReader) staged(name string) ([]byte, error) { return l.object(StagingDir + "/" + name) }
