package hdfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
	krbconf "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"

	"godwit/internal/fault"
	"godwit/internal/option"
)

func kerberosFields() []option.Field {
	return []option.Field{
		{Name: "principal", Kind: option.Text, Live: true, Example: "etl@EXAMPLE.ORG", Help: "Who to be. With a ticket cache: its own."},
		{Name: "keytab", Kind: option.Text, Live: true, Machine: option.SecretPath, Example: "/etc/security/etl.keytab", Help: "File with the keys of `principal`. Tickets are got and renewed with it."},
		{Name: "ccache", Kind: option.Text, Live: true, Machine: option.SecretPath, Example: "/tmp/krb5cc_1000", Help: "Ticket cache of kinit, instead of a keytab: a file. It is read again when a connection is made; godwit does not renew it. Default without keytab: `KRB5CCNAME`, or kinit's own."},
		{Name: "krb5_conf", Kind: option.Text, Live: true, Machine: option.SecretPath, Example: "/etc/krb5.conf", Help: "Configuration of Kerberos: realms and their KDCs. Default: `/etc/krb5.conf`."},
		{Name: "service_principal", Kind: option.Text, Live: true, Example: "nn/_HOST", Help: "Principal of the name nodes, `_HOST` standing for the host's name. Default: `dfs.namenode.kerberos.principal` of `conf`, or `nn/_HOST`."},
	}
}

const (
	defaultService = "nn/_HOST"
	defaultKrb5    = "/etc/krb5.conf"
)

// kerberized reports whether the cluster wants Kerberos, as far as the options say.
func kerberized(v option.Values, conf hadoop) bool {
	return v.Given("kerberos") || strings.EqualFold(conf[keySecurity], "kerberos")
}

// withKerberos adds how to log in.
func withKerberos(c cluster, v option.Values, conf hadoop, open bool, getenv func(string) (string, bool)) (cluster, error) {
	k := v.Object("kerberos")
	if c.protection == "integrity" {
		// The library loses bytes where a read goes over the end of a signed piece.
		return c, fault.New(fault.JobValue, "data nodes that sign data without encrypting it (protection integrity) cannot be read from").
			At("%s", v.Place("protection")).Try("have the data nodes allow authentication or privacy too (dfs.data.transfer.protection), and choose one of them as protection")
	}
	cache := k.Text("ccache")
	if cache == "" && k.Text("keytab") == "" && open {
		cache = cacheOf(getenv)
	}
	if !isFileCache(cache) {
		return c, fault.New(fault.JobValue, "the ticket cache %s is not a file", show(cache)).At("%s", v.Place("kerberos")).
			Try("use one of type FILE (kinit -c FILE:/path, and ccache or KRB5CCNAME=FILE:/path), or a keytab")
	}
	if (k.Text("keytab") == "") == (cache == "") {
		return c, fault.New(fault.JobMissing, "kerberos needs a keytab or a ccache, one of them").At("%s", v.Place("kerberos")).
			Try("give principal and keytab, or the ccache that kinit writes")
	}
	if k.Text("keytab") != "" && k.Text("principal") == "" {
		return c, fault.New(fault.JobMissing, "kerberos: whose keys of the keytab are to be used?").At("%s", v.Place("kerberos")).Try("give principal")
	}
	c.service = k.Text("service_principal")
	if c.service == "" {
		c.service = conf["dfs.namenode.kerberos.principal"]
	}
	if c.service == "" {
		c.service = defaultService
	}
	c.service, _, _ = strings.Cut(c.service, "@")
	c.user, _, _ = strings.Cut(k.Text("principal"), "@")
	t := &tickets{keytab: k.Text("keytab"), cache: cache, conf: k.Text("krb5_conf"), principal: k.Text("principal")}
	if t.conf == "" && !open {
		return c, fault.New(fault.JobMissing, "kerberos needs krb5_conf here").At("%s", v.Place("kerberos"))
	}
	if t.conf == "" {
		t.conf = defaultKrb5
	}
	c.login, c.logout = t.client, t.close
	return c, nil
}

// tickets logs in. Clients of a keytab renew their ticket by themselves, so all
// connections share one; those of a cache see what kinit has put there since.
type tickets struct {
	keytab, cache, conf, principal string

	mu     sync.Mutex
	shared *krb.Client
}

func (t *tickets) client() (*krb.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared != nil {
		return t.shared, nil
	}
	conf, err := krbconf.Load(t.conf)
	if err != nil {
		return nil, loginError{errors.New("krb5_conf " + show(t.conf) + ": " + err.Error())}
	}
	if t.cache != "" {
		return t.fromCache(conf)
	}
	keys, err := keytab.Load(t.keytab)
	if err != nil {
		return nil, loginError{errors.New("keytab " + show(t.keytab) + ": " + err.Error())}
	}
	name, realm, _ := strings.Cut(t.principal, "@")
	if realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	c := krb.NewWithKeytab(name, realm, keys, conf, krb.DisablePAFXFAST(true))
	if err := c.Login(); err != nil {
		c.Destroy()
		return nil, loginError{err}
	}
	t.shared = c
	return c, nil
}

func (t *tickets) fromCache(conf *krbconf.Config) (*krb.Client, error) {
	cache, err := readCache(strings.TrimPrefix(t.cache, "FILE:"))
	if err != nil {
		return nil, loginError{errors.New("ccache " + show(t.cache) + ": " + err.Error())}
	}
	if end := lasts(cache); !end.IsZero() && time.Now().After(end) {
		return nil, loginError{fmt.Errorf("ccache %s: its ticket ended at %s", show(t.cache), end.UTC().Format(time.DateTime))}
	}
	c, err := krb.NewFromCCache(cache, conf, krb.DisablePAFXFAST(true))
	if err != nil {
		return nil, loginError{err}
	}
	return c, nil
}

// cacheMost bounds a ticket cache.
const cacheMost = 4 << 20

// readCache reads a ticket cache. One that is cut, as while kinit writes it, is an
// error; the library panics.
func readCache(path string) (c *credentials.CCache, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, cacheMost))
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			err = errors.New("it is not a whole ticket cache")
		}
	}()
	c = &credentials.CCache{Path: path}
	return c, c.Unmarshal(b)
}

// lasts returns when the ticket that all others are got with ends; zero: there is
// none.
func lasts(c *credentials.CCache) time.Time {
	realm := c.DefaultPrincipal.Realm
	e, ok := c.GetEntry(types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}})
	if !ok {
		return time.Time{}
	}
	return e.EndTime
}

// cacheOf returns the ticket cache that the environment names, or the usual one.
func cacheOf(getenv func(string) (string, bool)) string {
	if name, _ := getenv("KRB5CCNAME"); name != "" {
		return name
	}
	return "/tmp/krb5cc_" + strconv.Itoa(os.Getuid())
}

// isFileCache reports whether a ticket cache is one of the kind that is a file.
func isFileCache(name string) bool {
	kind, _, typed := strings.Cut(name, ":")
	return !typed || kind == "FILE" || strings.Contains(kind, "/")
}

// close ends the renewal of tickets.
func (t *tickets) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared != nil {
		t.shared.Destroy()
		t.shared = nil
	}
}
