package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"godwit/internal/fault"
	"godwit/internal/store"
)

// act names a request for people, and the object it is about.
type act struct {
	what string // "read"
	key  string // relative; empty: the bucket
}

// bodyError is what went wrong with the bytes to be sent; the request is not to
// blame.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// credentialError is what went wrong in getting credentials.
type credentialError struct{ error }

func (e credentialError) Unwrap() error { return e.error }

// fail gives err, met in a request, its code and place. Errors that are mapped
// already stay as they are.
func (s *Store) fail(ctx context.Context, a act, err error) error {
	var f *fault.Error
	var body bodyError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStalled):
		return fmt.Errorf("%s: %w", s.where(a.key), context.Cause(ctx))
	case errors.As(err, &body):
		return body.error
	case errors.As(err, &f), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrChanged), errors.Is(err, store.ErrExists), errors.Is(err, errOutside):
		return err
	case errors.Is(context.Cause(ctx), errStalled):
		err = errStalled
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return s.answered(a, answer)
	}
	return s.unanswered(a, bare(err))
}

// bare drops the wrapper that repeats the request's URL.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// unanswered maps an error that is not the service's own.
func (s *Store) unanswered(a act, err error) error {
	var dns *net.DNSError
	var op *net.OpError
	var record tls.RecordHeaderError
	var xmlError *xml.SyntaxError
	var credential credentialError
	switch {
	case errors.As(err, &credential):
		return fault.New(fault.StoreAuth, "no credentials for the bucket %s", s.at.bucket).At("%s", s.Where()).By(credential.error).
			Try("credentials were looked for in: %s", s.source)
	case errors.As(err, &dns):
		return fault.New(fault.StoreUnreachable, "the host %s is not known", dns.Name).At("%s", s.Where()).By(errors.New("no such host")).
			Try("check endpoint and region; with style: path the bucket is not part of the host's name")
	case certificateHint(err) != "":
		return fault.New(fault.StoreUnreachable, "the certificate of the store does not fit").At("%s", s.Where()).By(err).Try("%s", certificateHint(err))
	case errors.As(err, &record), err.Error() == "http: server gave HTTP response to HTTPS client":
		return fault.New(fault.StoreUnreachable, "the store does not speak TLS").At("%s", s.Where()).By(err).
			Try("write the endpoint with http:// if it has no TLS")
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &op) && op.Op == "dial", errors.As(err, &op) && op.Op == "proxyconnect":
		return fault.New(fault.StoreUnreachable, "the store does not answer").At("%s", s.Where()).By(err).
			Try("check endpoint, port, proxy and firewall, and that the service runs")
	case errors.As(err, &xmlError):
		return fault.New(fault.StoreProtocol, "cannot %s: the answer is not of the form it should have", a.on()).At("%s", s.where(a.key)).By(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the connection broke off in the middle")
	}
	return fault.New(fault.StoreFailed, "cannot %s", a.on()).At("%s", s.where(a.key)).By(err)
}

// certificateHint says what mends an error about a certificate; empty: it is none.
func certificateHint(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "give the certificate of the authority that signed it as tls.ca"
	case errors.As(err, &host):
		return "write the endpoint with a name that the certificate has"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, or set the clock of this machine"
	case errors.As(err, &invalid):
		return "the store needs another certificate"
	}
	return ""
}

func (a act) on() string {
	if a.key == "" {
		return a.what
	}
	return a.what + " " + show(a.key)
}

// serviceCodes are the codes of answers that say what is to be done; others are
// judged by their status.
var serviceCodes = map[string]fault.Code{
	"InvalidAccessKeyId": fault.StoreAuth, "SignatureDoesNotMatch": fault.StoreAuth, "ExpiredToken": fault.StoreAuth,
	"InvalidToken": fault.StoreAuth, "TokenRefreshRequired": fault.StoreAuth, "RequestTimeTooSkewed": fault.StoreAuth,
	"AuthorizationHeaderMalformed": fault.StoreAuth, "InvalidSecurity": fault.StoreAuth, "NotSignedUp": fault.StoreAuth,
	"MissingSecurityHeader": fault.StoreAuth, "AccountProblem": fault.StoreAuth, "XMinioAdminNoSuchAccessKey": fault.StoreAuth,

	"NoSuchBucket": fault.StoreMissing, "InvalidBucketName": fault.StoreMissing, "PermanentRedirect": fault.StoreMissing,

	"SlowDown": fault.StoreBusy, "SlowDownRead": fault.StoreBusy, "SlowDownWrite": fault.StoreBusy, "ServiceUnavailable": fault.StoreBusy,
	"Throttling": fault.StoreBusy, "ThrottlingException": fault.StoreBusy, "RequestLimitExceeded": fault.StoreBusy,
	"RequestThrottled": fault.StoreBusy, "TooManyRequests": fault.StoreBusy, "Busy": fault.StoreBusy, "ServerBusy": fault.StoreBusy,
	"XMinioServerNotInitialized": fault.StoreBusy,

	"BadDigest": fault.Corrupt, "XAmzContentChecksumMismatch": fault.Corrupt, "InvalidDigest": fault.Corrupt,
	"XAmzContentSHA256Mismatch": fault.Corrupt, "ChecksumMismatch": fault.Corrupt, "InvalidChecksum": fault.Corrupt,

	"InvalidObjectState": fault.SourceRefused,

	"KeyTooLongError": fault.NameRefused, "InvalidObjectName": fault.NameRefused, "XMinioInvalidObjectName": fault.NameRefused,
	"XMinioInvalidResourceName": fault.NameRefused, "InvalidURI": fault.NameRefused, "ObjectParentIsFile": fault.NameRefused,
	"ExistingObjectIsDirectory": fault.NameRefused, "DirectoryObjectContainsData": fault.NameRefused,
	"XMinioParentIsObject": fault.NameRefused, "XMinioObjectExistsAsDirectory": fault.NameRefused, "ObjectExistsAsDirectory": fault.NameRefused,

	"QuotaExceeded": fault.TargetFull, "XMinioStorageFull": fault.TargetFull, "XMinioAdminBucketQuotaExceeded": fault.TargetFull,
	"EntityTooLarge": fault.StoreRefused, "InsufficientStorage": fault.TargetFull,

	"AccessDenied": fault.StoreRefused, "AllAccessDisabled": fault.StoreRefused, "InvalidStorageClass": fault.StoreRefused,
	"MethodNotAllowed": fault.StoreRefused, "NotImplemented": fault.StoreRefused, "ObjectLocked": fault.StoreRefused,
}

// answered maps an answer of the service.
func (s *Store) answered(a act, r minio.ErrorResponse) error {
	switch r.Code {
	case "NoSuchKey", "NoSuchUpload", "NoSuchVersion":
		return fmt.Errorf("%s: %w", s.where(a.key), store.ErrNotFound)
	case "InvalidRange":
		return errOutside
	case "PreconditionFailed":
		return fmt.Errorf("%s: %w", s.where(a.key), store.ErrChanged)
	}
	if wantsTLS(r) {
		return fault.New(fault.StoreUnreachable, "the store speaks only TLS").At("%s", s.Where()).By(errors.New(short(r.Message))).
			Try("write the endpoint with https://")
	}
	code, known := serviceCodes[r.Code]
	if !known {
		code = byStatus(r.StatusCode)
	}
	// An answer without a text: HEAD has none.
	if a.key != "" && r.StatusCode == http.StatusNotFound && !known {
		return fmt.Errorf("%s: %w", s.where(a.key), store.ErrNotFound)
	}
	if a.key != "" && r.StatusCode == http.StatusPreconditionFailed {
		return fmt.Errorf("%s: %w", s.where(a.key), store.ErrChanged)
	}
	cause := r.Message
	if cause == "" {
		cause = "status " + strconv.Itoa(r.StatusCode)
	}
	if r.Code != "" && r.Code != cause {
		cause = r.Code + ": " + cause
	}
	return s.hinted(a, code, r).By(errors.New(short(cause)))
}

// wantsTLS reports whether a server, one in Go or nginx, was spoken to without TLS.
func wantsTLS(r minio.ErrorResponse) bool {
	return r.StatusCode == http.StatusBadRequest &&
		(strings.Contains(r.Message, "HTTP request to an HTTPS server") || strings.Contains(r.Message, "plain HTTP request was sent to HTTPS port"))
}

// short bounds a text that a service wrote.
func short(text string) string {
	if len(text) > 500 {
		return text[:500] + "…"
	}
	return text
}

func byStatus(status int) fault.Code {
	switch {
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return fault.StoreBusy
	case status == http.StatusUnauthorized:
		return fault.StoreAuth
	case status == http.StatusForbidden, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return fault.StoreRefused
	case status == http.StatusInsufficientStorage:
		return fault.TargetFull
	case status == 0, status >= 500, status == http.StatusRequestTimeout, status == http.StatusConflict, status == 499:
		return fault.StoreFailed
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect:
		return fault.StoreMissing
	}
	return fault.StoreFailed
}

func (s *Store) hinted(a act, code fault.Code, r minio.ErrorResponse) *fault.Error {
	e := fault.New(code, "cannot %s", a.on()).At("%s", s.where(a.key))
	switch code {
	case fault.StoreAuth:
		e.What = "the store refuses the credentials"
		if r.Code == "RequestTimeTooSkewed" {
			return e.Try("the clock of this machine and the store's differ by more than 15 minutes: set it")
		}
		if r.Code == "ExpiredToken" || r.Code == "TokenRefreshRequired" {
			return e.Try("the temporary keys have expired, and godwit cannot renew them: get new ones; they were taken from: %s", s.source)
		}
		if r.Region != "" {
			return e.Try("the bucket is in region %s: set region", r.Region)
		}
		return e.Try("credentials were taken from: %s", s.source)
	case fault.StoreMissing:
		e.What = "there is no bucket " + show(s.at.bucket)
		if r.Code == "PermanentRedirect" || r.StatusCode/100 == 3 {
			e.What = "the bucket " + show(s.at.bucket) + " is in another region"
		}
		return e.At("%s", s.Where()).Try("check bucket, region and endpoint; godwit makes no buckets")
	case fault.StoreRefused:
		return e.Try("grant the permission for it (%s) to the credentials from: %s", permission(a.what), s.source)
	case fault.Corrupt:
		e.What = "the bytes of " + show(a.key) + " that arrived are not those that were sent"
	case fault.NameRefused:
		e.What = "the store cannot hold an object under the key " + show(a.key)
	case fault.SourceRefused:
		return e.Try("the object is in an archive class: restore it first")
	}
	return e
}

// permission names what is usually missing.
func permission(what string) string {
	switch what {
	case actRead, actStat:
		return "s3:GetObject"
	case actList:
		return "s3:ListBucket"
	case actDelete:
		return "s3:DeleteObject"
	case actUploads:
		return "s3:ListBucketMultipartUploads"
	case actParts:
		return "s3:ListMultipartUploadParts"
	case actAbort:
		return "s3:AbortMultipartUpload"
	case actRules:
		return "s3:GetLifecycleConfiguration"
	}
	return "s3:PutObject"
}

// What requests do, for people.
const (
	actRead    = "read"
	actStat    = "look at"
	actList    = "list the bucket"
	actWrite   = "write"
	actCreate  = "create"
	actDelete  = "delete"
	actBegin   = "begin the upload of"
	actPart    = "upload a part of"
	actParts   = "list the parts of"
	actFinish  = "finish the upload of"
	actAbort   = "drop the upload of"
	actUploads = "list the uploads of"
	actCopy    = "copy"
	actRules   = "read the lifecycle rules of the bucket"
)
