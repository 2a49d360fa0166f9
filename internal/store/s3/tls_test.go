package s3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/internal/store"
	servers "godwit/test/servers/s3"
)

// authority is a self-made one, and its certificate in a file.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	der, a.key = a.sign(t, a.cert)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and its certificate; the authority's own is signed by itself.
func (a *authority) sign(t *testing.T, c *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := a.key
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// before stands before a server with a certificate of the authority for a host.
func (a *authority) before(t *testing.T, server *servers.Server, host string, until time.Time) string {
	t.Helper()
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, key := a.sign(t, c)
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
	}})
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestTLS_when_the_authority_is_ones_own(t *testing.T) {
	server, ours, others := servers.Versity(t), newAuthority(t), newAuthority(t)
	bucket := server.Bucket(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	fits := ours.before(t, server, "127.0.0.1", soon)
	wrongHost := ours.before(t, server, "store.example.org", soon)
	expired := ours.before(t, server, "127.0.0.1", past)
	for name, c := range map[string]struct {
		endpoint string
		tls      map[string]any
		hint     string // empty: it works
	}{
		"without the authority":      {fits, nil, "tls.ca"},
		"with another authority":     {fits, map[string]any{"ca": others.file}, "tls.ca"},
		"with the authority":         {fits, map[string]any{"ca": ours.file}, ""},
		"for another host":           {wrongHost, map[string]any{"ca": ours.file}, "a name that the certificate has"},
		"expired":                    {expired, map[string]any{"ca": ours.file}, "renew the certificate"},
		"expired, but not looked at": {expired, map[string]any{"skip_verify": true}, ""},
		"any":                        {wrongHost, map[string]any{"skip_verify": true}, ""},
		"no TLS there":               {strings.Replace(server.Endpoint, "http:", "https:", 1), nil, "http://"},
		"only TLS there":             {strings.Replace(fits, "https:", "http:", 1), nil, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t.Context(), overTLS(c.endpoint, bucket, server, c.tls), store.Env{})
			if c.hint != "" {
				f := fault.Of(err)
				if err == nil || f.Code != fault.StoreUnreachable || !strings.Contains(f.Hint, c.hint) {
					t.Fatalf("%v (hint %q), want a hint with %q", err, f.Hint, c.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Put(t.Context(), "k", inMemory([]byte("sealed")), store.PutOptions{}); err != nil || string(content(t, s.(*Store), "k")) != "sealed" {
				t.Error(err)
			}
		})
	}
}

func overTLS(endpoint, bucket string, server *servers.Server, how map[string]any) option.Values {
	given := map[string]any{
		"endpoint": endpoint, "bucket": bucket, "access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
	}
	if how != nil {
		given["tls"] = tlsOptions(how)
	}
	return option.Of(fields(), given)
}

func tlsOptions(how map[string]any) option.Values {
	all := fields()
	i := slices.IndexFunc(all, func(f option.Field) bool { return f.Name == "tls" })
	return option.Of(all[i].Fields, how)
}

func TestTLS_when_the_file_of_authorities_is_none(t *testing.T) {
	server := servers.Versity(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("-----BEGIN NOTHING-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, word := range map[string]string{
		"/no/such/file.pem": "/no/such/file.pem", empty: empty, "ca.pem": "absolute",
	} {
		_, err := open(t.Context(), overTLS("https://127.0.0.1:1", "bucket", server, map[string]any{"ca": file}), store.Env{})
		if !fault.Has(err, fault.JobValue) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// The service that gives the keys of roles is held to the same certificates.
func TestTLS_when_a_role_is_assumed(t *testing.T) {
	ours := newAuthority(t)
	server := servers.MinIO(t)
	fits := ours.before(t, server, "127.0.0.1", time.Now().Add(time.Hour))
	for _, with := range []bool{false, true} {
		w := newKeyWorld(t, rolesGiven)
		w.given = map[string]any{
			"bucket": server.Bucket(t), "endpoint": server.Endpoint, "sts_endpoint": fits, "role_arn": "arn:minio:iam:::role/any",
			"access_key": secret.New(server.AccessKey), "secret_key": secret.New(server.SecretKey),
		}
		if !with {
			w.fails(t, w.open(t), fault.StoreUnreachable, "tls.ca", fits)
			continue
		}
		w.given["tls"] = tlsOptions(map[string]any{"ca": ours.file})
		if _, err := w.open(t).Put(t.Context(), "k", inMemory([]byte("x")), store.PutOptions{}); err != nil {
			t.Error(err)
		}
	}
}
