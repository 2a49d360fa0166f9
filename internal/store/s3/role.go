package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"godwit/internal/fault"
)

const (
	webFile     = "AWS_WEB_IDENTITY_TOKEN_FILE"
	roleSeconds = 3600     // that keys of a role are asked for
	keysBytes   = 64 << 10 // of an answer with keys, and of a file with a token

	// keysTime bounds a request for keys. Two of them take less time than a job gives
	// a store to answer for the first time.
	keysTime = 6 * time.Second
)

// assumed gets the keys of a role with other keys (AssumeRole of the security
// token service).
type assumed struct {
	credentials.Expiry
	base   credentials.Provider
	w      wanted
	source string // where the other keys come from
}

// RetrieveWithCredContext implements credentials.Provider.
func (r *assumed) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	base, err := r.base.RetrieveWithCredContext(cc)
	if err != nil {
		return credentials.Value{}, err
	}
	form := url.Values{"RoleArn": {r.w.role}, "RoleSessionName": {first(r.w.session, "godwit")}, "DurationSeconds": {strconv.Itoa(roleSeconds)}}
	if r.w.external != "" {
		form.Set("ExternalId", r.w.external)
	}
	s := sts{action: "AssumeRole", endpoint: r.w.stsEndpoint(), role: r.w.role, hide: []string{base.SecretAccessKey, base.SessionToken}}
	v, err := s.keys(cc, form, func(req *http.Request) *http.Request {
		if base.SessionToken != "" {
			req.Header.Set("X-Amz-Security-Token", base.SessionToken)
		}
		return signer.SignV4STS(*req, base.AccessKeyID, base.SecretAccessKey, first(r.w.region, "us-east-1"))
	})
	var refused *fault.Error
	if errors.As(err, &refused) && refused.Code == fault.StoreAuth {
		err = refused.Try("the role must trust the credentials from: %s; they need sts:AssumeRole, and the external_id that the role may ask for", r.source)
	}
	if err == nil {
		r.SetExpiration(v.Expiration, credentials.DefaultExpiryWindow)
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (r *assumed) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(alone()) }

// bearer gets the keys of a role with a token in a file, which others renew
// (AssumeRoleWithWebIdentity of the security token service).
type bearer struct {
	credentials.Expiry
	w                   wanted
	file, role, session string
}

// web is what Kubernetes and others set up in the environment.
func (w wanted) web(role string) provider {
	b := &bearer{
		Expiry: w.expiry(), w: w, file: variable(w.getenv, webFile), role: role,
		session: first(variable(w.getenv, "AWS_ROLE_SESSION_NAME"), "godwit"),
	}
	return provider{b, "the token in " + b.file + " (" + webFile + ")", true}
}

// RetrieveWithCredContext implements credentials.Provider.
func (b *bearer) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	token, err := readSmall(b.file)
	if err != nil {
		return credentials.Value{}, fault.New(fault.StoreAuth, "the token for the role cannot be read").At("%s", b.file).By(err).
			Try("%s names the file; whoever writes it must be done before", webFile)
	}
	form := url.Values{"WebIdentityToken": {token}}
	if b.role != "" {
		form.Set("RoleArn", b.role)
		form.Set("RoleSessionName", b.session)
	}
	s := sts{action: "AssumeRoleWithWebIdentity", endpoint: b.w.stsEndpoint(), role: b.role, hide: []string{token}}
	v, err := s.keys(cc, form, func(req *http.Request) *http.Request { return req })
	var refused *fault.Error
	if errors.As(err, &refused) && refused.Code == fault.StoreAuth {
		err = refused.Try("the token in %s must be of an issuer and a subject that the role trusts, and not expired: whoever writes the file must renew it", b.file)
	}
	if err == nil {
		b.SetExpiration(v.Expiration, credentials.DefaultExpiryWindow)
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (b *bearer) Retrieve() (credentials.Value, error) { return b.RetrieveWithCredContext(alone()) }

func readSmall(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keysBytes))
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errors.New("it is empty")
	}
	return string(bytes.TrimSpace(text)), err
}

// stsEndpoint is where roles are assumed.
func (w wanted) stsEndpoint() string {
	switch {
	case w.sts != "":
		return w.sts
	case w.region == "":
		return "https://sts.amazonaws.com"
	case strings.HasPrefix(w.region, "cn-"):
		return "https://sts." + w.region + ".amazonaws.com.cn"
	}
	return "https://sts." + w.region + ".amazonaws.com"
}

// sts is a request to a security token service.
type sts struct {
	action, endpoint, role string
	hide                   []string // secrets that no error may quote
}

// stsAnswer is what such a service answers, right or wrong.
type stsAnswer struct {
	Assumed stsKeys    `xml:"AssumeRoleResult>Credentials"`
	Web     stsKeys    `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Error   stsRefusal `xml:"Error"`
	stsRefusal
}

type stsKeys struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

type stsRefusal struct{ Code, Message string }

// keys sends the request, signed by sign, and reads the keys. Its errors are faults.
func (s sts) keys(cc *credentials.CredContext, form url.Values, sign func(*http.Request) *http.Request) (credentials.Value, error) {
	form.Set("Action", s.action)
	form.Set("Version", credentials.STSVersion)
	status, text, err := fetch(cc.Context, cc.Client, func(ctx context.Context) (*http.Request, error) {
		body := form.Encode()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.endpoint, "/")+"/", strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		return sign(r), nil
	})
	if err != nil {
		return credentials.Value{}, silentSource("the service that gives the keys of roles", s.endpoint, err).
			Try("%s", first(certificateHint(err), "check sts_endpoint, proxy and firewall, and that the service runs"))
	}
	var a stsAnswer
	formErr := xml.Unmarshal(text, &a)
	if status != http.StatusOK {
		return credentials.Value{}, s.refused(status, a)
	}
	k := a.Assumed
	if s.action != "AssumeRole" {
		k = a.Web
	}
	if formErr != nil || k.AccessKeyID == "" || k.SecretAccessKey == "" || k.Expiration.IsZero() {
		return credentials.Value{}, strangeKeys(s.endpoint)
	}
	return k.value(), nil
}

func (k stsKeys) value() credentials.Value {
	return credentials.Value{
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		Expiration: k.Expiration, SignerType: credentials.SignatureV4,
	}
}

// refused maps an answer without keys. One that may pass is tried again.
func (s sts) refused(status int, a stsAnswer) error {
	why := a.Error
	if why.Code == "" {
		why = a.stsRefusal
	}
	code := keysCode(status)
	starting := strings.Contains(why.Message, "Server not initialized") // MinIO, which says InvalidParameterValue
	if serviceCodes[why.Code] == fault.StoreBusy || why.Code == "IDPCommunicationError" || starting {
		code = fault.StoreBusy
	}
	cause := "status " + strconv.Itoa(status)
	if why.Code != "" {
		cause = why.Code + ": " + why.Message
	}
	for _, secret := range s.hide {
		if secret != "" {
			cause = strings.ReplaceAll(cause, secret, "…")
		}
	}
	what := "the keys of the role " + s.role + " are refused"
	if s.role == "" {
		what = "the keys for the token are refused"
	}
	return fault.New(code, "%s", what).At("%s", s.endpoint).By(errors.New(short(cause))).Try("wait, or look at the service that gives the keys of roles")
}

// keysCode maps the status of an answer without keys.
func keysCode(status int) fault.Code {
	if status >= 500 || status == http.StatusTooManyRequests {
		return byStatus(status)
	}
	return fault.StoreAuth
}

// fetch sends a request for keys and reads the answer. Size and time are bounded here:
// the library lets such a request outlive the one that needs the keys. A nil ctx never
// ends.
func fetch(ctx context.Context, client *http.Client, request func(context.Context) (*http.Request, error)) (status int, text []byte, err error) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	r, err := request(ctx)
	if err != nil {
		return 0, nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, keysBytes))
	return answer.StatusCode, text, err
}

// silentSource is the fault of a source of keys that does not answer.
func silentSource(what, endpoint string, err error) *fault.Error {
	return fault.New(fault.StoreUnreachable, "%s does not answer", what).At("%s", endpoint).By(bare(err))
}

func strangeKeys(endpoint string) error {
	return fault.New(fault.StoreProtocol, "the answer has no keys, or no time at which they expire").At("%s", endpoint).
		Try("check that this is the address of a service that gives keys")
}
