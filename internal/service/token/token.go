// Package token keeps who may use a server: tokens with a name, a role and perhaps
// an end. What is stored of a token's text is a hash, so that who reads the database,
// or a copy of it, cannot use the server.
package token

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
)

// mostTokens bounds the table, revoked ones included: all of it is in memory.
const mostTokens = 10_000

// Times are milliseconds since 1970; NULL: never.
const schema = `
CREATE TABLE IF NOT EXISTS token (
	name TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, role TEXT NOT NULL, created INTEGER NOT NULL, created_by TEXT NOT NULL,
	expires INTEGER, used INTEGER, revoked INTEGER
) STRICT`

const columns = "name, role, created, created_by, expires, used, revoked"

// hash is the SHA-256 of a token's text. Slow hashes are for passwords, which people
// choose and which can be guessed; 256 random bits cannot, however quick the hash. As
// tokens are looked up by it, how long that takes says nothing of any stored text.
type hash [sha256.Size]byte

func hashOf(text string) hash { return sha256.Sum256([]byte(text)) }

// Book is the tokens of a server. It is safe for concurrent use; its table belongs
// to it alone, so that what it has in memory is what is stored.
type Book struct {
	db  *sql.DB
	now func() time.Time

	known atomic.Pointer[map[hash]*holder] // nil: to be read
	mu    sync.Mutex                       // held while the table changes and while known is filled from it
}

// holder is a token as Bearer finds it. Only used changes.
type holder struct {
	token api.Token
	used  atomic.Int64 // minutes since 1970; 0: never
}

// New returns the tokens in db, whose table it makes if it is missing. db stays the
// caller's. A nil now is time.Now.
func New(db *sql.DB, now func() time.Time) (*Book, error) {
	if now == nil {
		now = time.Now
	}
	if _, err := db.Exec(schema); err != nil {
		return nil, broken(err)
	}
	return &Book{db: db, now: now}, nil
}

func broken(cause error) error {
	return fault.New(fault.StateBroken, "the server's tokens cannot be read or written").By(cause)
}

// form is that of names in openapi.yaml.
var form = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$`)

// Create makes a token; by is who asks for it. Its text is in the answer and nowhere
// else. A name that was ever given, also to a token that is revoked by now, is refused
// with fault.NameTaken: what the audit log says of a name is of one token. A name, role
// or end that cannot be gives fault.BadRequest.
func (b *Book) Create(ctx context.Context, by string, in api.TokenRequest) (api.NewToken, error) {
	t := api.Token{Name: in.Name, Role: in.Role, Created: stored(b.now()), CreatedBy: by}
	if !in.Expires.IsZero() {
		t.Expires = stored(in.Expires)
	}
	if err := check(t); err != nil {
		return api.NewToken{}, err
	}
	text := mint()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.insert(ctx, t, hashOf(text)); err != nil {
		return api.NewToken{}, err
	}
	b.known.Store(nil)
	return api.NewToken{Token: t, Text: text}, nil
}

// stored is a time as it comes back from the table.
func stored(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

func check(t api.Token) error {
	bad := func(field, format string, args ...any) error {
		return fault.New(fault.BadRequest, format, args...).At("%s", field)
	}
	switch {
	case !form.MatchString(t.Name):
		return bad("name", "%.80q cannot be the name of a token: small letters, digits and inner hyphens, at most 64", t.Name)
	case !t.Role.Valid():
		return bad("role", "%.40q is no role: it is read or operate", string(t.Role))
	case !t.Expires.IsZero() && !t.Expires.After(t.Created):
		return bad("expires", "the token would be expired already: it would have ended at %s", t.Expires.Format(time.RFC3339))
	case t.Expires.Year() > 9999: // RFC 3339 has no such year, and a listing with one could not be written
		return bad("expires", "the end is beyond the year 9999")
	}
	return nil
}

// insert stores a token; b.mu is held.
func (b *Book) insert(ctx context.Context, t api.Token, h hash) error {
	var n int
	if err := b.db.QueryRowContext(ctx, "SELECT count(*) FROM token").Scan(&n); err != nil {
		return broken(err)
	}
	if n >= mostTokens {
		return fault.New(fault.NotNow, "the server has %d tokens, revoked ones included; it keeps no more", n).
			Try("use the tokens that there are: `godwit token list`")
	}
	done, err := b.db.ExecContext(ctx, "INSERT INTO token (name, hash, role, created, created_by, expires) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
		t.Name, h[:], string(t.Role), t.Created.UnixMilli(), t.CreatedBy, millis(t.Expires))
	if err != nil {
		return broken(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return fault.New(fault.NameTaken, "a token had the name %q already", t.Name).By(err).
			Try("choose another name; that of a revoked token is not given again")
	}
	return nil
}

func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// List returns all tokens by name, revoked and expired ones too.
func (b *Book) List(ctx context.Context) ([]api.Token, error) {
	rows, err := b.db.QueryContext(ctx, "SELECT "+columns+" FROM token ORDER BY name")
	if err != nil {
		return nil, broken(err)
	}
	defer rows.Close()
	out := []api.Token{}
	for rows.Next() {
		var t api.Token
		if err := scan(rows, &t); err != nil {
			return nil, broken(err)
		}
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, broken(err)
	}
	return out, nil
}

// scan reads columns, and more behind them, of a row.
func scan(rows *sql.Rows, t *api.Token, more ...any) error {
	var created int64
	var expires, used, revoked sql.NullInt64
	err := rows.Scan(append([]any{&t.Name, &t.Role, &created, &t.CreatedBy, &expires, &used, &revoked}, more...)...)
	t.Created = time.UnixMilli(created).UTC()
	t.Expires, t.Used, t.Revoked = moment(expires), moment(used), moment(revoked)
	return err
}

func moment(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// Revoke makes a token worthless: no Bearer that begins after Revoke has returned
// lets it pass. A revoked one stays as it is; a name that no token has gives
// fault.TokenUnknown.
func (b *Book) Revoke(ctx context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Also when it fails: what was cut off may have been stored.
	defer b.known.Store(nil)
	done, err := b.db.ExecContext(ctx, "UPDATE token SET revoked = coalesce(revoked, ?) WHERE name = ?", b.now().UnixMilli(), name)
	if err != nil {
		return broken(err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return fault.New(fault.TokenUnknown, "no token has the name %.80q", name).By(err).Try("see `godwit token list`")
	}
	return nil
}

// Bearer returns whose token a text is. One that does not count, whether mistyped,
// unknown, expired or revoked, gives fault.TokenRefused with the same words: who
// tries texts learns nothing. The reason is its Cause, for the log of the server and
// never for who asks. No text at all gives fault.TokenMissing.
//
// Tokens are kept in memory: it costs some microseconds, and SQL only once after a
// change and, to note that a token is used, once a minute for each.
func (b *Book) Bearer(ctx context.Context, text string) (api.Token, error) {
	if text == "" {
		return api.Token{}, fault.New(fault.TokenMissing, "the request shows no token").Try("give one as GODWIT_TOKEN or with --token-file")
	}
	if !whole(text) {
		return api.Token{}, refused(errors.New("it is mistyped, cut off or no token at all"))
	}
	all, err := b.all(ctx)
	if err != nil {
		return api.Token{}, err
	}
	now := b.now()
	h := all[hashOf(text)]
	switch {
	case h == nil:
		return api.Token{}, refused(errors.New("it is unknown"))
	case !h.token.Revoked.IsZero():
		return api.Token{}, refused(fmt.Errorf("%q was revoked at %s", h.token.Name, h.token.Revoked.Format(time.RFC3339)))
	case !h.token.Expires.IsZero() && !now.Before(h.token.Expires):
		return api.Token{}, refused(fmt.Errorf("%q expired at %s", h.token.Name, h.token.Expires.Format(time.RFC3339)))
	}
	b.note(ctx, h, now)
	t := h.token
	t.Used = time.Unix(h.used.Load()*60, 0).UTC()
	return t, nil
}

func refused(reason error) error {
	return fault.New(fault.TokenRefused, "the token is not valid here").By(reason).
		Try("it may be mistyped, expired or revoked: `godwit token list` shows those that there are")
}

// all returns the tokens by the hashes of their texts.
func (b *Book) all(ctx context.Context) (map[hash]*holder, error) {
	if known := b.known.Load(); known != nil {
		return *known, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.known.Load(); known != nil {
		return *known, nil
	}
	all, err := b.read(ctx)
	if err != nil {
		return nil, broken(err)
	}
	b.known.Store(&all)
	return all, nil
}

// read reads the table; b.mu is held.
func (b *Book) read(ctx context.Context) (map[hash]*holder, error) {
	rows, err := b.db.QueryContext(ctx, "SELECT "+columns+", hash FROM token")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[hash]*holder{}
	for rows.Next() {
		var h holder
		var sum []byte
		if err := scan(rows, &h.token, &sum); err != nil {
			return nil, err
		}
		if len(sum) != len(hash{}) {
			return nil, fmt.Errorf("the hash of token %q has %d bytes", h.token.Name, len(sum))
		}
		h.used.Store(max(0, h.token.Used.Unix()/60))
		all[hash(sum)] = &h
	}
	return all, rows.Err()
}

// noteTime bounds how long a request waits for the note that its token is used.
const noteTime = time.Second

// note stores that a token is used, to the minute. That it cannot be stored keeps
// nobody out: it only tells which tokens are not needed any more.
func (b *Book) note(ctx context.Context, h *holder, now time.Time) {
	minute, last := now.Unix()/60, h.used.Load()
	if minute <= last || !h.used.CompareAndSwap(last, minute) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	_, _ = b.db.ExecContext(ctx, "UPDATE token SET used = ?1 WHERE name = ?2 AND coalesce(used, 0) < ?1", minute*60_000, h.token.Name)
}
