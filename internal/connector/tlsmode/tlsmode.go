// Package tlsmode is how connections to a server are encrypted: the options that every
// system has alike, and what they come to.
package tlsmode

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"godwit/internal/fault"
	"godwit/internal/option"
)

// Modes. Preferred is the default: a server as installed may have no certificate, so that
// requiring TLS would refuse most of them, and never asking for it would send rows in the
// clear to those that have one.
const (
	Off            = "off"
	Preferred      = "preferred"
	Required       = "required"
	VerifyCA       = "verify_ca"
	VerifyIdentity = "verify_identity"
)

// Field is the option "tls" of a system that has "address" too. live: an edit of it is
// taken over while the job runs.
func Field(live bool) option.Field {
	return option.Field{Name: "tls", Kind: option.Object, Live: live, Help: "Encryption of the connections.", Fields: []option.Field{
		{Name: "mode", Kind: option.Enum, Live: live, Values: []string{Off, Preferred, Required, VerifyCA, VerifyIdentity}, Default: Preferred,
			Help: "`preferred` encrypts when the server can; `required` refuses a server that cannot; `verify_ca` also proves the server's certificate by `ca`; `verify_identity` also that it was issued for the server's name. Over a unix socket `preferred` does not encrypt."},
		{Name: "ca", Kind: option.Text, Live: live, Machine: option.SecretPath, Help: "File with the certificates (PEM) that may sign the server's; the system's own when it is left out."},
		{Name: "cert", Kind: option.Text, Live: live, Machine: option.SecretPath, Help: "File with the certificate (PEM) that this side shows."},
		{Name: "key", Kind: option.Text, Live: live, Machine: option.SecretPath, Help: "File with the key (PEM) of `cert`."},
		{Name: "server_name", Kind: option.Text, Live: live, Help: "The name that the server's certificate must have, when it is not the host of `address`."},
	}}
}

// Config is what the options say. Conf is nil when nothing is encrypted; who uses it
// clones it. With Preferred a server without TLS is spoken to in the clear.
type Config struct {
	Mode string
	Conf *tls.Config
}

// Read reads the values of Field's object. host is the name that the server's certificate
// must have, unless an option gives another; unix: the connection does not leave the
// machine. Files that cannot be used give an error of code, with their place.
func Read(v option.Values, host string, unix bool, code fault.Code) (Config, error) {
	t := Config{Mode: v.Text("mode")}
	if t.Mode == "" {
		t.Mode = Preferred
	}
	if t.Mode == Preferred && unix {
		t.Mode = Off
	}
	if t.Mode == Off {
		return t, nil
	}
	t.Conf = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.Text("server_name")}
	if t.Conf.ServerName == "" {
		t.Conf.ServerName = host
	}
	if err := t.readFiles(v, code); err != nil {
		return t, err
	}
	switch t.Mode {
	case Preferred, Required:
		t.Conf.InsecureSkipVerify = true // encrypted, the peer unproved: what the mode says
	case VerifyCA:
		t.Conf.InsecureSkipVerify = true // the chain is proved below, the name is not
		t.Conf.VerifyConnection = verifyChain(t.Conf.RootCAs)
	}
	return t, nil
}

// readFiles reads the certificates that are named.
func (t *Config) readFiles(v option.Values, code fault.Code) error {
	ca, cert, key := v.Text("ca"), v.Text("cert"), v.Text("key")
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fault.New(code, "the certificates in %s cannot be read", ca).At("%s", v.Place("ca")).By(err)
		}
		t.Conf.RootCAs = x509.NewCertPool()
		if !t.Conf.RootCAs.AppendCertsFromPEM(pem) {
			return fault.New(code, "%s holds no certificate in PEM form", ca).At("%s", v.Place("ca"))
		}
	}
	if (cert == "") != (key == "") {
		return fault.New(fault.JobValue, "tls needs cert and key together").At("%s", v.Place("cert"))
	}
	if cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fault.New(code, "the certificate %s and its key cannot be used", cert).At("%s", v.Place("cert")).By(err)
	}
	t.Conf.Certificates = []tls.Certificate{pair}
	return nil
}

// verifyChain proves that the server's certificate was signed by one of roots.
func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server showed no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := s.PeerCertificates[0].Verify(o)
		return err
	}
}
