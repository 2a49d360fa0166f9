package hdfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/colinmarc/hdfs/v2/hadoopconf"

	"godwit/internal/option"
)

const (
	rpcPort     = "8020" // of a name node whose address has none
	confMost    = 8 << 20
	keyDefault  = "fs.defaultFS"
	keyNodes    = "dfs.ha.namenodes."
	keyAddress  = "dfs.namenode.rpc-address"
	keySecurity = "hadoop.security.authentication"
)

// hadoop is what the files of a Hadoop configuration say.
type hadoop map[string]string

// readConf reads core-site.xml and hdfs-site.xml of a folder.
func readConf(dir string) (hadoop, error) {
	found := false
	for _, name := range []string{"core-site.xml", "hdfs-site.xml", "mapred-site.xml"} {
		i, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if i.Size() > confMost {
			return nil, fmt.Errorf("%s has more than %s", name, option.FormatSize(confMost))
		}
		found = true
	}
	if !found {
		return nil, errors.New("it has neither core-site.xml nor hdfs-site.xml")
	}
	c, err := hadoopconf.Load(dir)
	if err != nil {
		return nil, err
	}
	out := hadoop{}
	for name, value := range c {
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// nameservice returns what the configuration calls its cluster: host:port, or the name
// of several name nodes.
func (c hadoop) nameservice() string {
	for _, key := range []string{keyDefault, "fs.default.name"} {
		if u, err := url.Parse(c[key]); err == nil && u.Scheme == "hdfs" && u.Host != "" {
			return u.Host
		}
	}
	name, _, _ := strings.Cut(c["dfs.nameservices"], ",")
	return strings.TrimSpace(name)
}

// namenodes returns the addresses behind a name: those that the configuration has for
// it, or itself.
func (c hadoop) namenodes(name string) []string {
	var out []string
	for id := range strings.SplitSeq(c[keyNodes+name], ",") {
		if a := c[keyAddress+"."+name+"."+strings.TrimSpace(id)]; a != "" {
			out = append(out, withPort(a))
		}
	}
	if len(out) > 0 {
		return out
	}
	if a := c[keyAddress+"."+name]; a != "" {
		return []string{withPort(a)}
	}
	return []string{withPort(name)}
}

// withPort adds the usual port to a host without one.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), rpcPort)
}

// size reads a number of bytes as Hadoop writes it: 128m, 1g, 134217728; 0: there is
// none.
func (c hadoop) size(key string) int64 {
	text := strings.ToLower(c[key])
	shift := 0
	if i := strings.IndexAny(text, "kmgt"); i >= 0 && i == len(text)-1 {
		shift, text = 10*(strings.IndexByte("kmgt", text[i])+1), text[:i]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0
	}
	return n << shift
}

// protection returns how the transfer of data is protected: the strongest of those
// allowed, as the library does not bargain.
func (c hadoop) protection() string {
	allowed := strings.ToLower(c["dfs.data.transfer.protection"])
	if c["dfs.encrypt.data.transfer"] == "true" {
		return "privacy"
	}
	for _, p := range []string{"privacy", "integrity", "authentication"} {
		if strings.Contains(allowed, p) {
			return p
		}
	}
	return ""
}
