package cli

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"time"

	"godwit/internal/api"
)

// serveName is the file in the state folder that says where the server is, so that
// commands of the same user on the same machine find it.
const serveName = "serve.json"

// serveFile is what stands in it.
type serveFile struct {
	URL     string    `json:"url"`
	Token   string    `json:"token"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Cert is the file of the certificate that the server shows; empty: no TLS.
	Cert string `json:"cert,omitempty"`
}

func readServeFile(dir string) (serveFile, error) {
	var f serveFile
	b, err := readBounded(filepath.Join(dir, serveName))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, errors.New("it is not whole")
	}
	return f, nil
}

// write puts the file into dir as a whole or not at all, for its owner alone.
func (f serveFile) write(dir string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeOwn(dir, serveName, b)
}

// writeOwn writes a file as a whole or not at all, for its owner alone.
func writeOwn(dir, name string, text []byte) error {
	// CreateTemp makes files with mode 0600.
	t, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = t.Write(append(text, '\n'))
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(t.Name())
	}
	return err
}

// removeServeFile removes the file if it is still that of this process.
func removeServeFile(dir string, pid int) {
	if f, err := readServeFile(dir); err == nil && f.PID == pid {
		os.Remove(filepath.Join(dir, serveName))
	}
}

// localToken is the name of the token in serve.json. Its text stays in localName when
// serve.json goes: names of tokens are not given twice, so each start would need
// another one.
const (
	localToken = "local"
	localName  = "local.token"
)

// certName is a name that the first certificate of a PEM file is for.
func certName(text []byte) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("there is no certificate in it")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "", err
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0], nil
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String(), nil
	}
	return "", errors.New("the certificate names no host")
}

// localRequest asks for the token of serve.json.
func localRequest(name string) api.TokenRequest {
	return api.TokenRequest{Name: name, Role: api.Operate}
}
