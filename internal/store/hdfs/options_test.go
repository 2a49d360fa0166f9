package hdfs

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

const coreSite = `<configuration>
  <property><name>fs.defaultFS</name><value>hdfs://lake</value></property>
</configuration>`

const hdfsSite = `<configuration>
  <property><name>dfs.nameservices</name><value>lake,other</value></property>
  <property><name>dfs.ha.namenodes.lake</name><value>nn1, nn2</value></property>
  <property><name>dfs.namenode.rpc-address.lake.nn1</name><value>one.example.org:8020</value></property>
  <property><name>dfs.namenode.rpc-address.lake.nn2</name><value>two.example.org</value></property>
  <property><name>dfs.namenode.rpc-address.other</name><value>three.example.org:9000</value></property>
  <property><name>dfs.replication</name><value>2</value></property>
  <property><name>dfs.blocksize</name><value>64m</value></property>
  <property><name>dfs.client.use.datanode.hostname</name><value>true</value></property>
</configuration>`

func confFolder(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "core-site.xml"), []byte(strings.Replace(coreSite, "</configuration>", more+"</configuration>", 1)), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "hdfs-site.xml"), []byte(hdfsSite), 0o600))
	return dir
}

// named reads the options of a URL or of fields, in an environment.
func named(given map[string]any, environment ...string) (config, error) {
	r := store.Registry{Driver()}
	v := option.Of(r.Fields(), given)
	o := v.Object("hdfs")
	if u := v.Text("url"); u != "" {
		var err error
		if o, err = r.Fields()[0].Stands(u); err != nil {
			return config{}, err
		}
	}
	return settings(o, store.Env{Getenv: func(name string) (string, bool) {
		for i := 0; i < len(environment); i += 2 {
			if environment[i] == name {
				return environment[i+1], true
			}
		}
		return "", false
	}})
}

func TestSettings_when_the_cluster_is_named_in_each_way(t *testing.T) {
	dir := confFolder(t, "")
	fields := func(given map[string]any) map[string]any {
		return map[string]any{"hdfs": option.Of(fields(), given)}
	}
	lake := []string{"one.example.org:8020", "two.example.org:8020"}
	for name, c := range map[string]struct {
		given       map[string]any
		environment []string
		namenodes   []string
		root, user  string
	}{
		"URL with a port":    {map[string]any{"url": "hdfs://etl@nn:9000/a/b"}, nil, []string{"nn:9000"}, "/a/b", "etl"},
		"URL without a port": {map[string]any{"url": "hdfs://nn/a"}, []string{"HADOOP_USER_NAME", "etl"}, []string{"nn:8020"}, "/a", "etl"},
		"URL with a name":    {map[string]any{"url": "hdfs://lake/a"}, []string{"HADOOP_CONF_DIR", dir, "HADOOP_USER_NAME", "etl"}, lake, "/a", "etl"},
		"URL without a host": {map[string]any{"url": "hdfs:///a"}, []string{"HADOOP_CONF_DIR", dir, "HADOOP_USER_NAME", "etl"}, lake, "/a", "etl"},
		"conf":               {fields(map[string]any{"path": "/a", "conf": dir, "user": "etl"}), nil, lake, "/a", "etl"},
		"name of another":    {fields(map[string]any{"path": "/a/", "conf": dir, "user": "etl", "namenodes": []string{"other"}}), nil, []string{"three.example.org:9000"}, "/a", "etl"},
		"several":            {fields(map[string]any{"path": "/", "user": "etl", "namenodes": []string{"a", "[::1]:9"}}), nil, []string{"a:8020", "[::1]:9"}, "/", "etl"},
	} {
		got, err := named(c.given, c.environment...)
		if err != nil || !slices.Equal(got.cluster.namenodes, c.namenodes) || got.root != c.root || got.cluster.user != c.user {
			t.Errorf("%s: %+v, %v", name, got.cluster, err)
		}
	}
	c, err := named(fields(map[string]any{"path": "/a", "conf": dir, "user": "etl", "replication": int64(1)}))
	if err != nil || c.replication != 1 || c.block != 64<<20 || !c.cluster.hostnames || c.file != 0o644 || c.folder != 0o755 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestSettings_when_something_is_missing_or_wrong(t *testing.T) {
	secure := confFolder(t, `<property><name>hadoop.security.authentication</name><value>kerberos</value></property>`)
	for name, c := range map[string]struct {
		given map[string]any
		code  fault.Code
	}{
		"no name node":           {map[string]any{"path": "/a", "user": "etl"}, fault.JobMissing},
		"no configuration there": {map[string]any{"path": "/a", "user": "etl", "conf": t.TempDir()}, fault.JobValue},
		"two ways to log in":     {map[string]any{"path": "/a", "conf": secure, "kerberos": option.Of(kerberosFields(), map[string]any{"keytab": "/x", "ccache": "/y"})}, fault.JobMissing},
		"no file of tickets":     {map[string]any{"path": "/a", "conf": secure, "kerberos": option.Of(kerberosFields(), map[string]any{"ccache": "KEYRING:persistent:0"})}, fault.JobValue},
		"whose keys":             {map[string]any{"path": "/a", "conf": secure, "kerberos": option.Of(kerberosFields(), map[string]any{"keytab": "/x"})}, fault.JobMissing},
	} {
		_, err := named(map[string]any{"hdfs": option.Of(fields(), c.given)})
		if f := fault.Of(err); f.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	const unset = "conf is not given, and HADOOP_CONF_DIR is not set"
	if _, err := named(map[string]any{"url": "hdfs:///a"}); !strings.Contains(fault.Of(err).Hint, unset) {
		t.Errorf("%v: %q", err, fault.Of(err).Hint)
	}
	c, err := named(map[string]any{"url": "hdfs://etl@lake/a"})
	if err != nil {
		t.Fatal(err)
	}
	if e := (&Store{config: c}).hinted(fault.StoreUnreachable, "", "list", ""); !strings.Contains(e.Hint, unset) {
		t.Errorf("no name node answers: %q", e.Hint)
	}
	if c, err := named(map[string]any{"url": "hdfs://etl@lake/a"}, "HADOOP_CONF_DIR", confFolder(t, "")); err != nil || c.cluster.unread != "" {
		t.Errorf("it was read: %q, %v", c.cluster.unread, err)
	}
	// Nothing of this machine is taken where nothing may be.
	t.Setenv("HADOOP_CONF_DIR", confFolder(t, ""))
	t.Setenv("HADOOP_USER_NAME", "etl")
	for _, given := range []map[string]any{{"path": "/a", "user": "etl"}, {"path": "/a", "namenodes": []string{"nn"}}, {"path": "/a", "user": "etl", "conf": secure}} {
		if c, err := settings(option.Of(fields(), given), store.Env{}); !fault.Has(err, fault.JobMissing) {
			t.Errorf("%v: %+v, %v", given, c.cluster, err)
		}
	}
}

func TestCacheOf_when_the_environment_names_one(t *testing.T) {
	env := ""
	getenv := func(name string) (string, bool) { return env, name == "KRB5CCNAME" && env != "" }
	if got := cacheOf(getenv); got != "/tmp/krb5cc_"+strconv.Itoa(os.Getuid()) {
		t.Errorf("the usual one is %q", got)
	}
	for name, isFile := range map[string]bool{"FILE:/run/k": true, "/run/k": true, "/run/a:b": true, "KCM:": false, "DIR:/run/k": false} {
		env = name
		if got := cacheOf(getenv); got != name || isFileCache(got) != isFile {
			t.Errorf("%q: %q, %v", name, got, isFileCache(got))
		}
	}
}

func TestDriver_when_the_URL_is_none(t *testing.T) {
	r := store.Registry{Driver()}
	for _, u := range []string{
		"hdfs:", "hdfs://nn", "hdfs://nn/a:b", "hdfs://nn/a?x=1", "hdfs://nn/a#b", "hdfs://u:hunter2@nn/a", "hdfs://nn/../a", "hdfs://nn/a/.snapshot/x",
	} {
		_, err := r.Open(t.Context(), option.Of(r.Fields(), map[string]any{"url": u}), store.Env{})
		if !fault.Has(err, fault.JobValue) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestAmbient_when_options_leave_something_to_the_machine(t *testing.T) {
	kerberos := option.Of(kerberosFields(), map[string]any{"principal": "etl", "keytab": "/k"})
	for _, c := range []struct {
		given map[string]any
		want  bool
	}{
		{map[string]any{"namenodes": []string{"nn"}, "user": "etl"}, false},
		{map[string]any{"namenodes": []string{"nn"}, "kerberos": kerberos}, false},
		{map[string]any{"conf": "/etc/hadoop/conf", "user": "etl"}, false},
		{map[string]any{"namenodes": []string{"nn"}}, true},
		{map[string]any{"user": "etl"}, true},
		{map[string]any{"namenodes": []string{"nn"}, "kerberos": option.Of(kerberosFields(), map[string]any{"krb5_conf": "/k"})}, true},
	} {
		if got := ambient(option.Of(fields(), c.given)); got != c.want {
			t.Errorf("%v: %v", c.given, got)
		}
	}
}
