package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificates makes an authority and a server's certificate for 127.0.0.1.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	save := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	check(err)
	ca = save("ca.pem", "CERTIFICATE", der)
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a server"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err = x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	check(err)
	cert = save("cert.pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(serverKey)
	check(err)
	return ca, cert, save("key.pem", "PRIVATE KEY", der)
}

func TestRun_when_over_TLS(t *testing.T) {
	ca, cert, key := certificates(t)
	other, _, _ := certificates(t)
	s := one(t, "--ssl-cert="+cert, "--ssl-key="+key, "--ssl-ca="+ca)
	s.Exec(t, "CREATE USER tls@'%' IDENTIFIED BY 'p' REQUIRE SSL; GRANT ALL ON *.* TO tls@'%'")
	job := func(tls string) *job {
		j := newJob(t, s)
		j.source = fmt.Sprintf("{address: \"%s\", user: tls, password: \"${env:E2E_PASSWORD}\", tls: %s}", s.Addr(), tls)
		j.write("job.yaml")
		return j
	}
	for _, tls := range []string{"{mode: required}", "{mode: verify_ca, ca: " + ca + "}", "{mode: verify_identity, ca: " + ca + "}", "{mode: preferred}"} {
		j := job(tls)
		code, said := run(t, "p", j.args()...)
		want(t, code, said, 0)
		s.Exec(t, "UPDATE app.t SET v = 'over TLS' WHERE id = 1")
		code, said = run(t, "p", j.args()...)
		want(t, code, said, 0)
		j.equal(s)
	}
	for _, tls := range []string{"{mode: verify_ca, ca: " + other + "}", "{mode: verify_identity, ca: " + ca + ", server_name: elsewhere}"} {
		code, said := run(t, "p", job(tls).args()...)
		want(t, code, said, 3, "SOURCE_TLS")
	}
	code, said := run(t, "p", job("{mode: off}").args()...)
	want(t, code, said, 3, "SOURCE_AUTH")
	plain := one(t)
	j := newJob(t, plain)
	j.source = fmt.Sprintf("{address: \"%s\", user: root, password: \"${env:E2E_PASSWORD}\", tls: {mode: required}}", plain.Addr())
	j.write("job.yaml")
	code, said = run(t, plain.Password, j.args()...)
	want(t, code, said, 3, "SOURCE_TLS")
}
