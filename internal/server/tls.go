package server

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"godwit/internal/fault"
)

// keyPair is the server's certificate. It is read again when its file has changed:
// certificates are renewed more often than servers that carry jobs are restarted.
type keyPair struct {
	certificate, key string
	log              *slog.Logger

	mu   sync.Mutex
	of   time.Time // when the file that is in use was written
	have *tls.Certificate
}

// newTLS returns nil when the options have no certificate.
func newTLS(o Options) (*tls.Config, error) {
	if o.Certificate == "" && o.Key == "" {
		return nil, nil
	}
	p := &keyPair{certificate: o.Certificate, key: o.Key, log: o.Log}
	if err := p.read(); err != nil {
		return nil, fault.New(fault.Usage, "the certificate of the server cannot be used").At("%s", o.Certificate).By(err).
			Try("give a certificate and its key as PEM files that this user may read")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.get}, nil
}

func (p *keyPair) read() error {
	stat, err := os.Stat(p.certificate)
	if err != nil {
		return err
	}
	have, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		return err
	}
	p.of, p.have = stat.ModTime(), &have
	return nil
}

// get returns the certificate for a new connection. One that cannot be read, perhaps
// because its key is still to come, leaves the one before in use.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stat, err := os.Stat(p.certificate); err == nil && !stat.ModTime().Equal(p.of) {
		if err := p.read(); err != nil {
			p.log.Warn("the new certificate cannot be used, the old one stays", "error", err)
		}
	}
	return p.have, nil
}
