package mysql

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"godwit/internal/connector"
	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
	"godwit/test/servers/mariadb"
)

const canary = "canary-Pa55'\"word"

// dialOnce opens a source with the options and connects once.
func dialOnce(t testing.TB, given map[string]any) error {
	t.Helper()
	s, err := impatient().source(context.Background(), option.Of(options(), given), connector.Env{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	c, err := s.dial(within(t))
	if err != nil {
		return err
	}
	defer c.close()
	rows, err := c.query(within(t), "SHOW STATUS LIKE 'ssl_cipher'")
	if err != nil {
		return err
	}
	if rows[0][1].text() != "" {
		return errEncrypted
	}
	return nil
}

var errEncrypted = fmt.Errorf("connected, encrypted")

func tlsOption(given map[string]any) option.Values {
	for _, f := range options() {
		if f.Name == "tls" {
			return option.Of(f.Fields, given)
		}
	}
	panic("no tls")
}

func TestDial_tells_why_it_failed(t *testing.T) {
	srv := server(t)
	srv.Exec(t, "CREATE OR REPLACE USER gw@'127.0.0.1' IDENTIFIED BY 'right'; CREATE OR REPLACE USER ed@'127.0.0.1' IDENTIFIED BY 'right'")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	garbage := listen(t, "HTTP/1.1 400 Bad Request\r\n\r\n")
	weird := listen(t, "\x05\x00\x00\x00\x0a1.2\x00")
	long := listen(t, "\xff\xff\xff\x00\x0a")
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	_ = gone.Close()
	cases := []struct {
		name  string
		given map[string]any
		code  fault.Code
	}{
		{"wrong password", map[string]any{"address": srv.Addr(), "user": "gw", "password": secret.New(canary)}, fault.SourceAuth},
		{"unknown user", map[string]any{"address": srv.Addr(), "user": "nobody", "password": secret.New(canary)}, fault.SourceAuth},
		{"nobody listens", map[string]any{"address": nobody, "user": "gw", "password": secret.New(canary)}, fault.SourceUnreachable},
		{"silence", map[string]any{"address": silent.Addr().String(), "user": "gw", "password": secret.New(canary), "connect_timeout": 300 * time.Millisecond}, fault.SourceUnreachable},
		{"garbage", map[string]any{"address": garbage, "user": "gw", "password": secret.New(canary)}, fault.SourceProtocol},
		{"cut greeting", map[string]any{"address": weird, "user": "gw", "password": secret.New(canary)}, fault.SourceProtocol},
		{"cut packet", map[string]any{"address": long, "user": "gw", "password": secret.New(canary), "connect_timeout": 300 * time.Millisecond}, fault.SourceUnreachable},
		{"no such host", map[string]any{"address": "no-such-host.invalid:1", "user": "gw", "password": secret.New(canary)}, fault.SourceUnreachable},
		{"no such socket", map[string]any{"socket": "/nowhere/s.sock", "user": "gw", "password": secret.New(canary)}, fault.SourceUnreachable},
		{"TLS where there is none", map[string]any{"address": srv.Addr(), "user": srv.User, "password": secret.New(srv.Password), "tls": tlsOption(map[string]any{"mode": tlsmode.Required})}, fault.SourceTLS},
		{"no address", map[string]any{"user": "gw"}, fault.JobValue},
		{"both", map[string]any{"user": "gw", "address": "a", "socket": "b"}, fault.JobValue},
		{"bad address", map[string]any{"user": "gw", "address": "a:b:c"}, fault.JobValue},
		{"no port", map[string]any{"user": "gw", "address": "127.0.0.1:"}, fault.JobValue},
		{"no such port", map[string]any{"user": "gw", "address": "127.0.0.1:65536"}, fault.JobValue},
		{"port 0", map[string]any{"user": "gw", "address": "[::1]:0"}, fault.JobValue},
		{"no CA", map[string]any{"address": srv.Addr(), "user": "gw", "tls": tlsOption(map[string]any{"mode": tlsmode.VerifyCA, "ca": "/nowhere/ca.pem"})}, fault.SourceTLS},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at := time.Now()
			err := dialOnce(t, c.given)
			if err == nil || c.code != "" && fault.Of(err).Code != c.code {
				t.Fatalf("got %v, want %s", err, c.code)
			}
			if d := time.Since(at); d > 15*time.Second {
				t.Errorf("took %s", d)
			}
			f := fault.Of(err)
			text := fmt.Sprintf("%v %+v %#v %s %s", err, err, f, f.Hint, f.Where)
			if strings.Contains(text, "canary") {
				t.Error("the password is in the error")
			}
			if a, ok := c.given["address"].(string); ok && f.Class() != fault.User && !strings.Contains(f.Error(), a) {
				t.Errorf("the address is not in %v", err)
			}
			t.Log(err, "|", f.Hint)
		})
	}
}

func TestDial_when_the_plugin_is_not_spoken(t *testing.T) {
	for version, want := range map[string]string{
		"8.0.40":                    "ALTER USER 'gw' IDENTIFIED WITH caching_sha2_password BY '…'",
		"5.5.5-10.11.6-MariaDB-log": "ALTER USER 'gw' IDENTIFIED VIA mysql_native_password USING PASSWORD('…')",
	} {
		body := "\x0a" + version + "\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\x21\x02\x00\xff\xdf\x15" + strings.Repeat("\x00", 10) + "ijklmnopqrst\x00some_plugin\x00"
		address := listen(t, string([]byte{byte(len(body)), 0, 0, 0})+body)
		err := dialOnce(t, map[string]any{"address": address, "user": "gw", "password": secret.New(canary)})
		if f := fault.Of(err); !fault.Has(err, fault.SourceAuth) || f.Hint != want {
			t.Errorf("%s: %v, hint %q", version, err, f.Hint)
		}
	}
}

// listen answers every connection with text and keeps it open.
func listen(t testing.TB, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(text))
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}

func TestDial_by_socket_and_every_way_of_login(t *testing.T) {
	srv := server(t)
	if err := dialOnce(t, map[string]any{"socket": srv.Socket, "user": srv.User, "password": secret.New(srv.Password)}); err != nil {
		t.Error("socket:", err)
	}
	srv.Exec(t, "CREATE OR REPLACE USER nopw@'127.0.0.1'; CREATE OR REPLACE USER old@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('"+strings.ReplaceAll(canary, "'", "''")+"')")
	if err := dialOnce(t, map[string]any{"address": srv.Addr(), "user": "nopw"}); err != nil {
		t.Error("without a password:", err)
	}
	if err := dialOnce(t, map[string]any{"address": srv.Addr(), "user": "old", "password": secret.New(canary)}); err != nil {
		t.Error("native:", err)
	}
	if err := srv.Run("INSTALL SONAME 'auth_ed25519'"); err != nil {
		t.Fatal(err)
	}
	srv.Exec(t, "CREATE OR REPLACE USER ed@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('secret')")
	if err := dialOnce(t, map[string]any{"address": srv.Addr(), "user": "ed", "password": secret.New("secret")}); err != nil {
		t.Error("ed25519:", err)
	}
}

// authority makes a CA and a certificate for name, as files, and returns their
// paths.
func authority(t testing.TB, name string) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true}
	}
	rootCert := of(1, "test authority")
	rootCert.IsCA, rootCert.KeyUsage = true, x509.KeyUsageCertSign
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := of(2, name)
	leaf.DNSNames = []string{name}
	write := func(file, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.CreateCertificate(rand.Reader, rootCert, rootCert, &root.PublicKey, root)
	ca = write("ca.pem", "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, leaf, rootCert, &leafKey.PublicKey, root)
	cert = write("cert.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(leafKey)
	key = write("key.pem", "PRIVATE KEY", der, err)
	return ca, cert, key
}

func TestDial_over_TLS(t *testing.T) {
	ca, cert, key := authority(t, "db.example")
	otherCA, _, _ := authority(t, "other.example")
	srv := mariadb.Start(t, "--ssl-ca="+ca, "--ssl-cert="+cert, "--ssl-key="+key)
	srv.Exec(t, "CREATE DATABASE d; USE d; CREATE TABLE d.t (id int primary key, p varchar(100)); INSERT INTO d.t SELECT seq, repeat('x', 100) FROM seq_1_to_20000")
	cases := []struct {
		name      string
		tls       map[string]any
		encrypted bool
		code      fault.Code
	}{
		{"off", map[string]any{"mode": tlsmode.Off}, false, ""},
		{"preferred", nil, true, ""},
		{"required", map[string]any{"mode": tlsmode.Required}, true, ""},
		{"CA", map[string]any{"mode": tlsmode.VerifyCA, "ca": ca}, true, ""},
		{"wrong CA", map[string]any{"mode": tlsmode.VerifyCA, "ca": otherCA}, false, fault.SourceTLS},
		{"system CAs", map[string]any{"mode": tlsmode.VerifyCA}, false, fault.SourceTLS},
		{"name", map[string]any{"mode": tlsmode.VerifyIdentity, "ca": ca, "server_name": "db.example"}, true, ""},
		{"wrong name", map[string]any{"mode": tlsmode.VerifyIdentity, "ca": ca}, false, fault.SourceTLS},
		{"own certificate", map[string]any{"mode": tlsmode.Required, "cert": cert, "key": key}, true, ""},
		{"half a certificate", map[string]any{"mode": tlsmode.Required, "cert": cert}, false, fault.JobValue},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := dialOnce(t, map[string]any{"address": srv.Addr(), "user": srv.User, "password": secret.New(srv.Password), "tls": tlsOption(c.tls)})
			switch {
			case c.code != "":
				if !fault.Has(err, c.code) {
					t.Errorf("got %v", err)
				}
			case c.encrypted != (err == errEncrypted):
				t.Errorf("got %v", err)
			}
		})
	}
	s := sourceOf(t, srv, map[string]any{"tls": tlsOption(map[string]any{"mode": tlsmode.VerifyCA, "ca": ca})})
	if rows, _ := readAll(t, s, discover(t, s, "d.t")[0], 1<<20); len(rows) != 20000 {
		t.Error(len(rows), "rows")
	}
}
