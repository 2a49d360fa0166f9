package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os/user"
	"path"
	"strconv"
	"strings"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/store"
)

// Driver returns the driver of HDFS.
func Driver() store.Driver {
	return store.Driver{
		Name: "hdfs", Schemes: []string{"hdfs"},
		Help:    "A folder of a Hadoop file system (HDFS).",
		Options: fields(), FromURL: fromURL, Open: open,
	}
}

const leastBlock = 1 << 20

func fields() []option.Field {
	return []option.Field{
		{Name: "path", Kind: option.Text, Required: true, Example: "/data/lake", Check: checkPath,
			Help: "The folder, absolute. It need not exist: the first write makes it."},
		{Name: "namenodes", Kind: option.List, Example: "[nn1.example.org:8020, nn2.example.org:8020]", Check: checkNode,
			Help: "Name nodes of one cluster, as host:port (8020 where there is no port), or one name that `conf` has addresses for. Of several the active one is found. Default: `fs.defaultFS` of `conf`."},
		{Name: "conf", Kind: option.Text, Machine: option.SecretPath, Example: "/etc/hadoop/conf",
			Help: "Folder with `core-site.xml` and `hdfs-site.xml`. What is not given here is taken from them: name nodes, Kerberos, protection of data, replication, block size. Default: `HADOOP_CONF_DIR` in the environment."},
		{Name: "user", Kind: option.Text, Example: "etl", Check: checkUser, Machine: option.Ambient, Takes: ambient,
			Help: "Who to be in a cluster without Kerberos. Default: `HADOOP_USER_NAME` in the environment, or the user godwit runs as."},
		{Name: "kerberos", Kind: option.Object, Live: true, Help: "How to log in to a cluster with Kerberos.", Fields: kerberosFields()},
		{Name: "protection", Kind: option.Enum, Live: true, Values: []string{"none", "authentication", "privacy"}, Default: "none",
			Help: "How data is protected on the way to data nodes with Kerberos (`dfs.data.transfer.protection`); `privacy` needs AES (`dfs.encrypt.data.transfer.cipher.suites`). Default: that of `conf`."},
		{Name: "hostnames", Kind: option.Bool, Live: true, Help: "Call data nodes by their names instead of the addresses that the name node has for them (`dfs.client.use.datanode.hostname`)."},
		{Name: "replication", Kind: option.Int, Live: true, Min: 1, Max: 512, Help: "How often each block is kept. Default: `dfs.replication` of `conf`, or the cluster's."},
		{Name: "block_size", Kind: option.Size, Live: true, Min: leastBlock, Max: 64 << 30, Help: "Size of the blocks of large files. Default: `dfs.blocksize` of `conf`, or the cluster's."},
		{Name: "file_mode", Kind: option.Text, Live: true, Example: `"0640"`, Default: "0644", Check: checkMode, Help: "Permissions of files that bring none along, octal and in quotes."},
		{Name: "folder_mode", Kind: option.Text, Live: true, Example: `"0750"`, Default: "0755", Check: checkMode, Help: "Permissions of folders, octal and in quotes."},
	}
}

func checkPath(v any) error {
	p := v.(string)
	if !path.IsAbs(p) {
		return errors.New("an absolute path is expected, such as /data/lake")
	}
	if p = path.Clean(p); p != "/" && badKey(p[1:]) != "" {
		return errors.New("no folder of HDFS can be called so: " + badKey(p[1:]))
	}
	if strings.Contains(v.(string)+"/", "/../") || strings.Contains(v.(string)+"/", "/./") {
		return errors.New("a path without parts . and .. is expected")
	}
	return nil
}

func checkNode(v any) error {
	u, err := url.Parse("hdfs://" + v.(string))
	if err != nil || u.Host == "" || u.Host != v.(string) {
		return errors.New("host:port is expected, such as nn1.example.org:8020")
	}
	return nil
}

func checkUser(v any) error {
	if strings.ContainsAny(v.(string), " \t\r\n\"'<>/@:") {
		return errors.New("the name of a user is expected, without a realm")
	}
	return nil
}

func checkMode(v any) error {
	if _, err := modeOf(v.(string)); err != nil {
		return errors.New(`octal digits from "0000" to "0777" are expected`)
	}
	return nil
}

func modeOf(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err == nil && n > 0o777 {
		err = strconv.ErrRange
	}
	return fs.FileMode(n), err
}

// ambient reports whether something is left to the environment.
func ambient(o option.Values) bool {
	k := o.Object("kerberos")
	return o.Text("user") == "" && k.Text("keytab") == "" && k.Text("ccache") == "" || len(o.List("namenodes")) == 0 && o.Text("conf") == ""
}

// fromURL returns the options of hdfs://host:port/path, hdfs://name/path with a name
// of the configuration, or hdfs:///path; everything else comes from the environment.
func fromURL(u *url.URL) (option.Values, error) {
	var none option.Values
	if u.RawQuery != "" || u.Fragment != "" {
		return none, errors.New("? and # must be written %3F and %23")
	}
	if err := checkPath(u.Path); err != nil {
		return none, err
	}
	given := map[string]any{"path": u.Path}
	if u.Host != "" {
		if err := checkNode(u.Host); err != nil {
			return none, err
		}
		given["namenodes"] = []string{u.Host}
	}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return none, errors.New("HDFS knows no passwords: write hdfs://user@host/path")
		}
		if err := checkUser(u.User.Username()); err != nil {
			return none, err
		}
		given["user"] = u.User.Username()
	}
	return option.Of(fields(), given), nil
}

func open(ctx context.Context, v option.Values, env store.Env) (store.Store, error) {
	c, err := settings(v, env)
	if err != nil {
		return nil, err
	}
	s, err := newStore(c)
	if err != nil {
		return nil, err
	}
	if err := s.greet(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// settings reads the options, and what they leave to the configuration of Hadoop and
// the environment.
func settings(v option.Values, env store.Env) (config, error) {
	getenv := env.Getenv
	if getenv == nil {
		getenv = func(string) (string, bool) { return "", false }
	}
	conf, err := configuration(v, getenv)
	if err != nil {
		return config{}, err
	}
	c := config{
		root: path.Clean(v.Text("path")), staging: env.Staging, request: env.Request, log: env.Log,
		replication: int(v.Int("replication")), block: v.Int("block_size"),
	}
	if n, err := strconv.Atoi(conf["dfs.replication"]); err == nil && c.replication == 0 {
		c.replication = n
	}
	if c.block == 0 {
		c.block = conf.size("dfs.blocksize")
	}
	if c.file, err = modeOf(v.Text("file_mode")); err == nil {
		c.folder, err = modeOf(v.Text("folder_mode"))
	}
	if err != nil {
		return config{}, fault.New(fault.JobValue, "a mode is not octal").At("%s", v.At()).By(err)
	}
	c.cluster, err = clusterOf(v, conf, env.Getenv != nil, getenv)
	return c, err
}

// configuration reads the files of Hadoop, if some are named.
func configuration(v option.Values, getenv func(string) (string, bool)) (hadoop, error) {
	dir, from := v.Text("conf"), "conf"
	if dir == "" {
		dir, _ = getenv("HADOOP_CONF_DIR")
		from = "HADOOP_CONF_DIR"
	}
	if dir == "" {
		return hadoop{}, nil
	}
	c, err := readConf(dir)
	if err != nil {
		return nil, fault.New(fault.JobValue, "%s: the folder %s cannot be read as a configuration of Hadoop", from, show(dir)).At("%s", v.Place("conf")).By(err)
	}
	return c, nil
}

// unread says that no configuration of Hadoop was read, to be put behind an advice; open:
// the environment was looked into.
func unread(open bool) string {
	const said = "; no configuration of Hadoop was read: conf is not given"
	if open {
		return said + ", and HADOOP_CONF_DIR is not set"
	}
	return said
}

func clusterOf(v option.Values, conf hadoop, open bool, getenv func(string) (string, bool)) (cluster, error) {
	c := cluster{hostnames: v.Bool("hostnames") || conf["dfs.client.use.datanode.hostname"] == "true", protection: conf.protection()}
	if p := v.Text("protection"); v.Given("protection") {
		c.protection = strings.TrimPrefix(p, "none")
	}
	if len(conf) == 0 {
		c.unread = unread(open)
	}
	given := v.List("namenodes")
	if len(given) == 0 {
		name := conf.nameservice()
		if name == "" {
			return c, fault.New(fault.JobMissing, "no name node is named").At("%s", v.Place("namenodes")).
				Try("give namenodes, or conf with a core-site.xml that has fs.defaultFS%s", c.unread)
		}
		given = []string{name}
	}
	for _, name := range given {
		c.namenodes = append(c.namenodes, conf.namenodes(name)...)
	}
	c.name = given[0]
	if kerberized(v, conf) {
		return withKerberos(c, v, conf, open, getenv)
	}
	c.user = v.Text("user")
	if c.user == "" {
		c.user, _ = getenv("HADOOP_USER_NAME")
	}
	if c.user == "" && open {
		if u, err := user.Current(); err == nil {
			c.user = u.Username
		}
	}
	if c.user == "" {
		return c, fault.New(fault.JobMissing, "no user is named").At("%s", v.Place("user")).Try("give user: the one to be in HDFS")
	}
	return c, nil
}
