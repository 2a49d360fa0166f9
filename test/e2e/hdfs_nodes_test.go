package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/test/servers/hdfs"
)

// TestRun_when_nodes_of_hdfs_go_away lets one run go through what happens to clusters.
// It must go on each time without being started again, and is killed in the middle of
// the last failover; at the end the files are equal to the source.
func TestRun_when_nodes_of_hdfs_go_away(t *testing.T) {
	t.Parallel()
	cluster := hdfs.Start(t, hdfs.Options{HA: true, DataNodes: 3})
	folder := cluster.Folder(t, "lark")
	who := caller{env: []string{"HADOOP_CONF_DIR=" + configuration(t, cluster), "HADOOP_USER_NAME=lark"}}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	j := newJob(t, w.server, "url", "hdfs://lake"+folder, "until", "", "roll", "{size: 64KiB, every: 1s}")
	w.write()
	p := who.start(t, w.server.Password, j.args()...)
	if !p.until("the stream", phase("stream")) {
		t.Fatalf("godwit ended\n%s", clip(p.said()))
	}
	p.goesOn(t, "the beginning")
	type act struct {
		name string
		do   []string // commands, parts divided by spaces
	}
	acts := []act{
		{"the active name node ends", []string{"stop-namenode 0", "activate 1"}},
		{"it comes back", []string{"start-namenode 0"}},
		{"safe mode", []string{"safemode on", "wait", "safemode off"}},
		{"a data node ends", []string{"stop-datanode 0"}},
		{"nobody is active", []string{"standby 1", "wait", "activate 0"}},
		{"the data node comes back", []string{"start-datanode 0"}},
		{"all is killed", []string{"kill"}},
	}
	for _, a := range acts {
		for _, c := range a.do {
			obey(t, cluster, c)
		}
		p.goesOn(t, a.name)
	}
	obey(t, cluster, "stop-namenode 0")
	p.kill()
	obey(t, cluster, "activate 1")
	fetch(t, cluster, folder, j.lake())
	if _, _, wrong := w.judgeQuietly(j.lake()); wrong != "" {
		t.Fatalf("killed in a failover: %s\nkept: %s", wrong, keep(t, j))
	}
	w.halt()
	j.set("until", "head")
	code, said := who.run(t, w.server.Password, j.args()...)
	want(t, code, said, 0)
	fetch(t, cluster, folder, j.lake())
	if wrong := w.judgeEnd(j); wrong != "" {
		t.Fatalf("at the end: %s\nkept: %s", wrong, keep(t, j))
	}
}

func obey(t *testing.T, cluster *hdfs.Server, command string) {
	t.Helper()
	switch command {
	case "wait":
		time.Sleep(3 * time.Second)
	case "kill":
		cluster.Kill()
		if err := cluster.Restart(); err != nil {
			t.Fatal(err)
		}
	default:
		cluster.Do(t, strings.Fields(command)...)
	}
}

// goesOn waits for commits that were begun from now on.
func (p *process) goesOn(t *testing.T, after string) {
	t.Helper()
	p.mu.Lock()
	var had int64
	for _, e := range p.events {
		for _, s := range e.Sinks {
			had = max(had, s.Commits)
		}
	}
	p.mu.Unlock()
	begin := time.Now()
	if !p.until("a commit after "+after, func(e event) bool { return len(e.Sinks) > 0 && e.Sinks[0].Commits > had+1 }) {
		t.Fatalf("godwit ended after %s\n%s", after, clip(p.said()))
	}
	t.Logf("%s: commits again after %v", after, time.Since(begin).Round(time.Millisecond))
}

// configuration writes a configuration of Hadoop that calls the cluster lake.
func configuration(t *testing.T, cluster *hdfs.Server) string {
	t.Helper()
	properties := map[string]string{"fs.defaultFS": "hdfs://lake", "dfs.nameservices": "lake", "dfs.ha.namenodes.lake": "nn0,nn1"}
	for i, address := range cluster.NameNodes {
		properties[fmt.Sprintf("dfs.namenode.rpc-address.lake.nn%d", i)] = address
	}
	text := "<configuration>\n"
	for name, value := range properties {
		text += fmt.Sprintf("<property><name>%s</name><value>%s</value></property>\n", name, value)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hdfs-site.xml"), []byte(text+"</configuration>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
