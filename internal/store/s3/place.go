package s3

import (
	"net"
	"net/url"
	"strings"

	"godwit/internal/store"
)

var _ store.Nester = (*Store)(nil)

// Nests implements store.Nester. Of Amazon a bucket is one whatever the region of the
// endpoint; other services are one where host and port are.
func (s *Store) Nests(other store.Store) (prefix string, in bool, err error) {
	o, ok := other.(*Store)
	if !ok || s.at.bucket != o.at.bucket || s.at.service() != o.at.service() {
		return "", false, nil
	}
	prefix, in = strings.CutPrefix(o.at.prefix, s.at.prefix)
	if !in {
		return "", false, nil
	}
	return prefix, true, nil
}

// service names what is behind the endpoint.
func (p place) service() string {
	u, err := url.Parse(p.endpoint)
	if err != nil {
		return p.endpoint
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if amazon(host) {
		return "amazon"
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func amazon(host string) bool {
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}
