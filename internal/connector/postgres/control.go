package postgres

import (
	"context"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
)

// controlVersion is that of the control tables (docs/connectors/postgres.md).
const controlVersion = 1

// control has the quoted names of godwit's own tables.
type control struct {
	schema, quoted                       string
	version, position, once, table, dead string
}

func controlIn(schema string) control {
	q := quote(schema)
	return control{schema: schema, quoted: q, version: q + ".godwit_version", position: q + ".godwit_position", once: q + ".godwit_once",
		table: q + ".godwit_table", dead: q + ".godwit_dead_letter"}
}

// create returns the statements that make what is missing.
func (c control) create() []string {
	return []string{
		"CREATE TABLE IF NOT EXISTS " + c.version + " (version integer NOT NULL)",
		"INSERT INTO " + c.version + " SELECT " + strconv.Itoa(controlVersion) + " WHERE NOT EXISTS (SELECT 1 FROM " + c.version + ")",
		"CREATE TABLE IF NOT EXISTS " + c.position + ` (
  job text NOT NULL, sink text NOT NULL, shard text NOT NULL,
  epoch bigint NOT NULL, run numeric(20) NOT NULL, attempt numeric(20) NOT NULL,
  seq bigint NOT NULL, positions bytea NOT NULL,
  session integer NOT NULL, session_start timestamptz NOT NULL, changed timestamptz NOT NULL,
  PRIMARY KEY (job, sink, shard))`,
		"CREATE TABLE IF NOT EXISTS " + c.once + ` (
  job text NOT NULL, sink text NOT NULL, key text NOT NULL, value bytea NOT NULL,
  PRIMARY KEY (job, sink, key))`,
		"CREATE TABLE IF NOT EXISTS " + c.table + ` (
  schema_name text NOT NULL, table_name text NOT NULL, job text NOT NULL, sink text NOT NULL,
  source_space text NOT NULL, source_table text NOT NULL, dropped boolean NOT NULL DEFAULT false,
  PRIMARY KEY (schema_name, table_name))`,
		"CREATE TABLE IF NOT EXISTS " + c.dead + ` (
  job text NOT NULL, sink text NOT NULL, shard text NOT NULL, pos text NOT NULL,
  source_space text NOT NULL, source_table text NOT NULL, op text NOT NULL,
  code text NOT NULL, reason text NOT NULL, cells json NOT NULL, buried timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job, sink, shard, pos))`,
	}
}

// prepared makes the control tables, or finds that they are there and of a version
// that is known.
func (s *sink) prepared(ctx context.Context) error {
	there, err := s.exists(ctx)
	if err != nil || there {
		return err
	}
	c, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer s.done(c)
	r, err := c.query(ctx, "SELECT 1 FROM pg_namespace WHERE nspname = $1", text(s.control.schema))
	if err != nil {
		return err
	}
	statements := making()
	if len(r.rows) == 0 {
		statements = append(statements, "CREATE SCHEMA IF NOT EXISTS "+s.control.quoted)
	}
	statements = append(append(statements, s.control.create()...), "COMMIT")
	if err := c.script(ctx, statements...); err != nil {
		return s.grantHint(err)
	}
	_, err = s.exists(ctx)
	return err
}

// making begins a script that makes schemas and tables. One runs at a time, as "if
// not exists" fails where two make the same at once; none takes long, so that waiting
// for a turn is no sign of a session that hangs.
func making() []string {
	return []string{"BEGIN", "SET LOCAL lock_timeout = '60s'", "SELECT pg_advisory_xact_lock(" + strconv.FormatInt(makingLock, 10) + ")"}
}

// makingLock is the advisory lock of making schemas and tables.
const makingLock = 0x676f64776974

func (s *sink) grantHint(err error) error {
	if stateOf(err) != statePrivilege { // nil too
		return err
	}
	return fault.Of(err).Try("GRANT CREATE ON DATABASE %s TO %s; -- or: CREATE SCHEMA %s AUTHORIZATION %s;", quote(s.cfg.database), quote(s.cfg.user), s.control.quoted, quote(s.cfg.user))
}

// exists reports whether the control tables are there.
func (s *sink) exists(ctx context.Context) (bool, error) {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if ready {
		return true, nil
	}
	r, err := s.ask(ctx, "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL", text(s.control.version), text(s.control.dead))
	if err != nil || string(r.rows[0][0]) != "t" {
		return false, err
	}
	if r, err = s.ask(ctx, "SELECT version FROM "+s.control.version); err != nil {
		return false, err
	}
	if len(r.rows) != 1 {
		return false, fault.New(fault.TargetBroken, "%s has %d rows, not one", s.control.version, len(r.rows)).At("%s", s.Where())
	}
	if n, err := strconv.Atoi(string(r.rows[0][0])); err != nil || n > controlVersion {
		return false, fault.New(fault.FormatNewer, "the tables in schema %s are of version %s, this version knows up to %d", s.control.schema, r.rows[0][0], controlVersion).
			At("%s", s.Where()).Try("use the version that wrote them, or a newer one")
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	return true, nil
}

// mine are the parameters that name a row of this sink.
func (s *sink) mine(more ...string) []arg {
	out := []arg{text(s.job), text(s.name)}
	for _, m := range more {
		out = append(out, text(m))
	}
	return out
}

// Positions implements connector.Sink.
func (s *sink) Positions(ctx context.Context, sh connector.Shard) (connector.Claim, position.Set, error) {
	if there, err := s.exists(ctx); err != nil || !there {
		return connector.Claim{}, position.Set{}, err
	}
	r, err := s.ask(ctx, "SELECT run, attempt, encode(positions, 'hex') FROM "+s.control.position+" WHERE job = $1 AND sink = $2 AND shard = $3", s.mine(sh.Task)...)
	if err != nil || len(r.rows) == 0 {
		return connector.Claim{}, position.Set{}, err
	}
	claim, err := claimOf(r.rows[0][0], r.rows[0][1])
	if err != nil {
		return claim, nil, s.damaged(sh, err)
	}
	set, err := setOf(r.rows[0][2])
	if err != nil {
		return claim, nil, s.damaged(sh, err)
	}
	return claim, set, nil
}

func (s *sink) damaged(sh connector.Shard, err error) error {
	return fault.New(fault.TargetBroken, "the row of shard %q in %s cannot be read", sh.Task, s.control.position).At("%s", s.Where()).By(err)
}

func claimOf(run, attempt []byte) (c connector.Claim, err error) {
	if c.Run, err = strconv.ParseUint(string(run), 10, 64); err != nil {
		return c, err
	}
	c.Attempt, err = strconv.ParseUint(string(attempt), 10, 64)
	return c, err
}

func setOf(hexed []byte) (position.Set, error) {
	raw, err := unhex(hexed)
	if err != nil || len(raw) == 0 {
		return position.Set{}, err
	}
	return position.UnmarshalSet(raw)
}

var onceKey = regexp.MustCompile(`^[a-z0-9._-]+(/[a-z0-9._-]+)*$`)

// maxOnceKey and maxOnceBytes bound what Once keeps.
const (
	maxOnceKey   = 500
	maxOnceBytes = 64 << 20
)

// Once implements connector.Sink.
func (s *sink) Once(ctx context.Context, key string, value []byte) ([]byte, error) {
	if len(key) > maxOnceKey || !onceKey.MatchString(key) || strings.Contains("/"+key+"/", "/./") || strings.Contains("/"+key+"/", "/../") {
		return nil, fault.New(fault.Internal, "a value cannot be kept under %q", clip(key, 80))
	}
	if len(value) > maxOnceBytes {
		return nil, fault.New(fault.Internal, "a value of %d bytes cannot be kept under %q: at most %d", len(value), key, maxOnceBytes)
	}
	if there, err := s.exists(ctx); err != nil {
		return nil, err
	} else if !there && value == nil {
		return nil, nil
	} else if !there {
		return nil, s.unprepared()
	}
	if value != nil {
		_, err := s.ask(ctx, "INSERT INTO "+s.control.once+" (job, sink, key, value) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", append(s.mine(key), bytea(value))...)
		if err != nil {
			return nil, err
		}
	}
	r, err := s.ask(ctx, "SELECT encode(value, 'hex') FROM "+s.control.once+" WHERE job = $1 AND sink = $2 AND key = $3", s.mine(key)...)
	if err != nil || len(r.rows) == 0 {
		return nil, err
	}
	return unhex(r.rows[0][0])
}

func (s *sink) unprepared() error {
	return fault.New(fault.Internal, "the target was not prepared").At("%s", s.Where())
}

// quote writes a name as SQL does.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal writes a text as SQL does.
func literal(s string) string {
	if strings.ContainsRune(s, '\\') {
		return " E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func unhex(h []byte) ([]byte, error) {
	out := make([]byte, hex.DecodedLen(len(h)))
	_, err := hex.Decode(out, h)
	return out, err
}
