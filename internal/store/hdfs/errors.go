package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/colinmarc/hdfs/v2"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// exception returns the name, without package, of the Java exception that a node
// answered with, and its text's first line; empty: err is none.
func exception(err error) (class, text string) {
	var e hdfs.Error
	if !errors.As(err, &e) {
		return "", ""
	}
	class = e.Exception()[strings.LastIndexByte(e.Exception(), '.')+1:]
	class = class[strings.LastIndexByte(class, '$')+1:]
	text, _, _ = strings.Cut(e.Message(), "\n")
	const most = 500
	if len(text) > most {
		text = text[:most] + "…"
	}
	return class, strings.TrimSpace(text)
}

// plainly turns exceptions that callers act on into errors of package fs.
func plainly(err error) error {
	var plain error
	switch class, text := exception(err); class {
	case "FileNotFoundException":
		plain = fs.ErrNotExist
	case "FileAlreadyExistsException":
		plain = fs.ErrExist
	case "IOException":
		if strings.Contains(text, "must both be directories") {
			plain = errIsFolder
		}
	}
	if plain == nil {
		return err
	}
	return &known{plain: plain, err: err}
}

// errIsFolder: a folder is where a file should be put.
var errIsFolder = errors.New("a folder is there")

// known is an exception with the error that it is for callers.
type known struct{ plain, err error }

func (k *known) Error() string   { return k.err.Error() }
func (k *known) Unwrap() []error { return []error{k.plain, k.err} }

// dataError is what broke a connection to a data node, or kept it from being made. It does
// not unwrap: its io.EOF is not the end of a block, as which the library would take it, and
// it is no name node that does not answer.
type dataError struct {
	node string // host:port
	err  error
}

func (e *dataError) Error() string { return "data node " + e.node + ": " + e.err.Error() }

// fault is what people are told when it kept them from what.
func (e *dataError) fault(what string) *fault.Error {
	return fault.New(fault.StoreUnreachable, "cannot %s: the connection to data node %s failed", what, e.node).By(e.err).
		Try("check that it runs (hdfs dfsadmin -report), that it can be reached from here (hostnames: true where only by its name), and that it wants the protection that is set")
}

// What the library says when no name node could be asked, without a type.
const noNameNode = "no available namenodes"

// unanswered reports whether err says that no name node answers, or that none of them is
// active. What was asked may have been done.
func unanswered(err error) bool {
	if err == nil || refusesLogin(err) || errors.Is(err, context.Canceled) {
		return false
	}
	var n net.Error
	switch class, _ := exception(err); class {
	case "":
	case "StandbyException", "ServerException", "RpcServerException", "FatalRpcServerException":
		return true
	default:
		return false
	}
	text := err.Error()
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(text, noNameNode) || strings.Contains(text, "unexpected sequence number") || strings.Contains(text, "invalid response from namenode")
}

// refusesLogin reports whether err says that this user is not let in.
func refusesLogin(err error) bool {
	var login loginError
	if errors.As(err, &login) {
		return true
	}
	text := err.Error()
	if strings.Contains(text, "Networking_Error") {
		return false
	}
	_, answer := exception(err)
	for _, sign := range []string{"SIMPLE authentication is not enabled", "Client cannot authenticate via", "is not allowed to impersonate"} {
		if strings.Contains(answer, sign) || strings.Contains(text, sign) {
			return true
		}
	}
	return strings.Contains(text, "SASL handshake: sasl call failed") || strings.Contains(text, "KRB_AP_ERR") || strings.Contains(text, "KDC_ERR") ||
		strings.Contains(text, "KDC_Error") || strings.Contains(text, "kerberos authentication not supported")
}

// loginError is what went wrong in getting tickets.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// codes are what exceptions mean.
var codes = map[string]fault.Code{
	"AccessControlException": fault.StoreRefused, "AuthorizationException": fault.StoreRefused,
	"SafeModeException": fault.StoreBusy, "RetriableException": fault.StoreBusy,
	"DSQuotaExceededException": fault.TargetFull, "NSQuotaExceededException": fault.TargetFull,
	"QuotaByStorageTypeExceededException": fault.TargetFull, "MaxDirectoryItemsExceededException": fault.TargetFull,
	"ParentNotDirectoryException": fault.NameRefused, "PathComponentTooLongException": fault.NameRefused,
	"InvalidPathException": fault.NameRefused, "HadoopIllegalArgumentException": fault.NameRefused,
}

// fail gives err, met while trying to do what with key, its code and place. One that
// has a code already, and those of package store, stay as they are.
func (s *Store) fail(what, key string, err error) error {
	var coded *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &coded), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrChanged), errors.Is(err, store.ErrExists),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	where := s.Where()
	if key != "" {
		where, what = s.where(key), what+" "+show(key)
	}
	if s.cluster.login == nil && !s.pool.wasThere() && strings.Contains(err.Error(), "unexpected sequence number") {
		// A refusal to whom shows no ticket is not numbered, and the library drops it.
		err = loginError{errors.New("the cluster wants another way to log in than a name")}
	}
	if data := (*dataError)(nil); errors.As(err, &data) {
		return data.fault(what).At("%s", where)
	}
	class, text := exception(err)
	cause := err
	if text != "" {
		cause = errors.New(class + ": " + strings.TrimPrefix(text, class+": "))
	}
	return s.hinted(codeOf(err), class, what, key).At("%s", where).By(cause)
}

func codeOf(err error) fault.Code {
	class, text := exception(err)
	code, known := codes[class]
	switch {
	case refusesLogin(err):
		return fault.StoreAuth
	case noFile(err) && class != "FileNotFoundException":
		return fault.NameRefused
	case known:
		return code
	case strings.Contains(err.Error(), "invalid wire-format data"), strings.Contains(err.Error(), "HMAC"):
		return fault.StoreProtocol
	case errors.Is(err, errIsFolder), errors.Is(err, fs.ErrExist):
		return fault.NameRefused
	case errors.Is(err, fs.ErrPermission):
		return fault.StoreRefused
	case strings.Contains(text, "in safe mode"):
		return fault.StoreBusy
	case unanswered(err):
		return fault.StoreUnreachable
	}
	return fault.StoreFailed
}

// hinted says what to do.
func (s *Store) hinted(code fault.Code, class, what, key string) *fault.Error {
	e := fault.New(code, "cannot %s", what)
	switch code {
	case fault.StoreAuth:
		e.What = "HDFS does not let " + s.cluster.who() + " in"
		return e.Try("%s", s.cluster.hint())
	case fault.StoreUnreachable:
		e.What = "no name node of " + s.cluster.name + " answers as the active one"
		return e.Try("check namenodes and ports, firewalls, and that one is active: hdfs haadmin -getAllServiceState%s", s.cluster.unread)
	case fault.StoreBusy:
		return e.Try("the name node is in safe mode; it leaves it by itself after a start, else: hdfs dfsadmin -safemode get")
	case fault.StoreRefused:
		path := s.path(dirOf(key))
		if key == "" {
			path = s.root
		}
		return e.Try("let the user %s in: hdfs dfs -chown %s %s, or -chmod, or -setfacl", s.cluster.who(), s.cluster.who(), path)
	case fault.StoreProtocol:
		return e.Try("where data is encrypted on the way, data nodes must offer AES: dfs.encrypt.data.transfer.cipher.suites=AES/CTR/NoPadding")
	case fault.TargetFull:
		if class == "MaxDirectoryItemsExceededException" {
			return e.Try("the folder has as many files as dfs.namenode.fs-limits.max-directory-items allows")
		}
		return e.Try("free space in the cluster, or raise the quota of the folder (hdfs dfs -count -q %s), then run again", s.root)
	case fault.NameRefused:
		return e.Try("a file is where a folder must be or the other way round, or HDFS does not take the name: rename it")
	}
	return e
}

func (c cluster) who() string {
	if c.user == "" {
		return "this user"
	}
	return c.user
}

func (c cluster) hint() string {
	if c.login == nil {
		return "the cluster wants Kerberos: set kerberos with principal and keytab"
	}
	return "check principal, keytab and service_principal with kinit and klist, and that the clocks agree; a ticket cache is renewed by kinit"
}

// full gives the answer that no data node takes a block its code: is there no space,
// or nobody to ask?
func (s *Store) full(key string, err error) error {
	if !tooFew(err) {
		return err
	}
	_, text := exception(err)
	l, lerr := s.pool.link()
	if lerr != nil {
		return err
	}
	space, serr := l.client.StatFs()
	if serr == nil && space.Capacity > 0 && space.Remaining < uint64(s.block) {
		return fault.New(fault.TargetFull, "no data node has room for a block of %s", show(key)).At("%s", s.where(key)).By(errors.New(text)).
			Try("free space in the cluster (hdfs dfsadmin -report), then run again")
	}
	return fault.New(fault.StoreFailed, "no data node takes a block of %s", show(key)).At("%s", s.where(key)).By(errors.New(text)).
		Try("check that data nodes run and can be reached from here: hdfs dfsadmin -report")
}

func notFound(where string) error { return fmt.Errorf("%s: %w", where, store.ErrNotFound) }

// readError maps the error of finding an object.
func (s *Store) readError(what, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || noFile(err) {
		return notFound(s.where(key))
	}
	return s.fail(what, key, err)
}

// noFile reports whether an exception says that a path leads to nothing, or through a
// file.
func noFile(err error) bool {
	class, text := exception(err)
	return class == "FileNotFoundException" || class == "ParentNotDirectoryException" ||
		class == "AccessControlException" && strings.Contains(text, "is not a directory")
}
