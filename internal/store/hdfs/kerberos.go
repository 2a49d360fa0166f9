package hdfs

import (
	"errors"
	"strings"
	"sync"

	krb "github.com/jcmturner/gokrb5/v8/client"
	krbconf "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"

	"godwit/internal/fault"
	"godwit/internal/option"
)

func kerberosFields() []option.Field {
	return []option.Field{
		{Name: "principal", Kind: option.Text, Live: true, Example: "etl@EXAMPLE.ORG", Help: "Who to be. With a ticket cache: its own."},
		{Name: "keytab", Kind: option.Text, Live: true, Machine: option.SecretPath, Example: "/etc/security/etl.keytab", Help: "File with the keys of `principal`. Tickets are got and renewed with it."},
		{Name: "ccache", Kind: option.Text, Live: true, Machine: option.SecretPath, Example: "/tmp/krb5cc_1000", Help: "Ticket cache of kinit, instead of a keytab. It is read again when a connection is made; godwit does not renew it."},
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
func withKerberos(c cluster, v option.Values, conf hadoop, open bool) (cluster, error) {
	k := v.Object("kerberos")
	if c.protection == "integrity" {
		// The library loses bytes where a read goes over the end of a signed piece.
		return c, fault.New(fault.JobValue, "data nodes that sign data without encrypting it (protection integrity) cannot be read from").
			At("%s", v.Place("protection")).Try("have the data nodes allow authentication or privacy too (dfs.data.transfer.protection), and choose one of them as protection")
	}
	if (k.Text("keytab") == "") == (k.Text("ccache") == "") {
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
	t := &tickets{keytab: k.Text("keytab"), cache: k.Text("ccache"), conf: k.Text("krb5_conf"), principal: k.Text("principal")}
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
	cache, err := credentials.LoadCCache(strings.TrimPrefix(t.cache, "FILE:"))
	if err != nil {
		return nil, loginError{errors.New("ccache " + show(t.cache) + ": " + err.Error())}
	}
	c, err := krb.NewFromCCache(cache, conf, krb.DisablePAFXFAST(true))
	if err != nil {
		return nil, loginError{err}
	}
	return c, nil
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
