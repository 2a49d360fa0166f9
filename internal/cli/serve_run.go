package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/server"
	"godwit/internal/service"
)

// serving is a server from its first answer to its last.
type serving struct {
	a        *app
	service  service.Options
	open     OpenService
	drain    time.Duration
	certFile string // empty: no TLS
	url      string
}

// run serves until a signal, or until it cannot.
func (s *serving) run(parent context.Context, f serveFlags) error {
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fault.New(fault.Usage, "--listen %s: %v", f.listen, reasonOf(err)).Try("stop what listens there, or choose another port: --listen 127.0.0.1:0 takes any that is free")
	}
	s.url = s.address(l.Addr())
	face, err := server.New(server.Options{
		Version: s.a.version(), Log: s.service.Log, Listen: []string{f.listen, l.Addr().String()}, Hosts: f.hosts,
		Certificate: f.cert, Key: f.key, Web: f.page(), Now: s.a.p.Now,
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, again, stop := s.a.signals(parent, "stopping: finishing commits", func() {})
	defer stop()
	answering, leave := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	go func() { failed <- face.Serve(answering, l) }()
	s.tell("starting")
	live, err := s.openNow(ctx, face, again)
	if err == nil {
		err = s.until(ctx, failed)
		err = errors.Join(err, s.end(live, face, leave, failed, again))
	}
	leave()
	return err
}

// openNow opens the service while the server says that it starts, and lets it answer
// then.
func (s *serving) openNow(ctx context.Context, face *server.Server, again <-chan struct{}) (Service, error) {
	type result struct {
		live Service
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		live, err := s.open(context.WithoutCancel(ctx), s.service)
		opened <- result{live, err}
	}()
	var r result
	select {
	case r = <-opened:
	case <-again:
		return nil, errStopped
	}
	if r.err != nil {
		return nil, whereItListens(r.err, s.service.Dir)
	}
	if err := s.leaveWord(ctx, r.live); err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
		defer cancel()
		return nil, errors.Join(err, r.live.Close(closing))
	}
	face.SetService(r.live)
	s.tell("ok")
	return r.live, nil
}

// leaveWord writes the file by which commands on this machine find the server.
func (s *serving) leaveWord(ctx context.Context, tokens Service) error {
	text, err := s.ownToken(context.WithoutCancel(ctx), tokens)
	if err != nil {
		return err
	}
	f := serveFile{URL: s.url, Token: text, PID: os.Getpid(), Started: s.a.p.Now().UTC()}
	if s.certFile != "" {
		if f.Cert, err = filepath.Abs(s.certFile); err != nil {
			return err
		}
	}
	if err := f.write(s.service.Dir); err != nil {
		return fault.New(fault.StateBroken, "the state folder cannot be written").At("%s", s.service.Dir).By(reasonOf(err)).Try("give --state DIR, a folder that this user may write")
	}
	return nil
}

// ownToken is the token for commands on this machine: that of the server before, as
// long as it counts, else a new one.
func (s *serving) ownToken(ctx context.Context, tokens Service) (string, error) {
	if b, err := readFile(filepath.Join(s.service.Dir, localName)); err == nil {
		text := strings.TrimSpace(string(b))
		if t, err := tokens.Bearer(ctx, text); err == nil && t.Role == api.Operate {
			return text, nil
		}
	}
	text, err := s.newToken(ctx, tokens)
	if err != nil {
		return "", err
	}
	if err := writeOwn(s.service.Dir, localName, []byte(text)); err != nil {
		return "", fault.New(fault.StateBroken, "the state folder cannot be written").At("%s", s.service.Dir).By(reasonOf(err)).Try("give --state DIR, a folder that this user may write")
	}
	return text, nil
}

// newToken makes a token for commands on this machine.
func (s *serving) newToken(ctx context.Context, tokens Service) (string, error) {
	who := service.Who{Name: "server"}
	t, err := tokens.CreateToken(ctx, who, localRequest(localToken))
	if fault.Has(err, fault.NameTaken) {
		// Its text is lost, or it was revoked.
		if err := tokens.RevokeToken(ctx, who, localToken); err != nil {
			return "", err
		}
		t, err = tokens.CreateToken(ctx, who, localRequest(localToken))
	}
	if fault.Has(err, fault.NameTaken) {
		t, err = tokens.CreateToken(ctx, who, localRequest(localToken+"-"+strconv.FormatInt(s.a.p.Now().UnixMilli(), 36)))
	}
	return t.Text, err
}

// until waits for a signal, or for the end of listening.
func (s *serving) until(ctx context.Context, failed chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		failed <- nil // for who waits for its end
		return fault.New(fault.Internal, "the server cannot listen any more").By(err)
	}
}

// end drains: commits are finished while the server says that it stops, then
// connections end. A second signal ends it where it stands.
func (s *serving) end(live Service, face *server.Server, leave func(), failed <-chan error, again <-chan struct{}) error {
	s.tell("stopping")
	face.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- live.Close(ctx) }()
	select {
	case err := <-closed:
		leave()
		err = errors.Join(err, <-failed)
		removeServeFile(s.service.Dir, os.Getpid())
		s.tell("stopped")
		if err != nil {
			return err
		}
	case <-again:
		s.a.say("stopped at once; jobs go on from their last commits at the next start")
	}
	if s.a.stopped.Load() == nil {
		return nil
	}
	return errStopped
}

// tell says how the server stands, to people and programs.
func (s *serving) tell(status string) {
	a := s.a
	if a.json {
		a.emit(serverLine{a.head(lineServer), status, s.url, s.service.Dir, os.Getpid(), a.version()})
		return
	}
	switch status {
	case "starting":
		a.say("godwit "+a.version()+" listens at "+s.url, "  state     "+s.service.Dir)
	case "ok":
		a.say("  page      "+s.url+"/ asks for a token: godwit token create NAME --role operate",
			"  commands  on this machine find it by the state folder; elsewhere give --server URL and "+envToken,
			"  stop      Ctrl-C finishes commits; a second one stops at once")
	case "stopped":
		a.say("stopped; all jobs go on at the next start")
	}
}

// address is how commands on this machine reach what was listened at.
func (s *serving) address(at net.Addr) string {
	scheme := "http://"
	if s.certFile != "" {
		scheme = "https://"
	}
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return scheme + at.String()
	}
	host := "127.0.0.1"
	if tcp.IP.To4() == nil {
		host = "::1"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// reasonOf is the innermost cause: messages name address and path already.
func reasonOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
