package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

var _ connector.Checker = (*sink)(nil)

// oldest is the first version that was tested.
const oldest = 13

// Check implements connector.Checker. It leaves what Prepare would, of the control
// tables.
func (s *sink) Check(ctx context.Context, tables []*row.Table) []connector.Finding {
	c, err := s.session(ctx)
	if err != nil {
		return []connector.Finding{{Name: "connection", Detail: s.Where(), Fault: fault.Of(err)}}
	}
	k := &checker{s: s, c: c, tables: tables}
	k.add("connection", s.Where()+", PostgreSQL "+c.version, nil)
	for _, step := range []func(context.Context) error{k.version, k.writable, k.durable, k.control, k.rights, k.targets, k.keys} {
		if err := step(ctx); err != nil {
			k.add("connection", "a check could not be made", fault.Of(err))
			if c.broken != nil {
				break
			}
		}
	}
	s.done(c)
	return k.found
}

// checker collects findings over one session.
type checker struct {
	s      *sink
	c      *session
	tables []*row.Table
	found  []connector.Finding
}

func (k *checker) add(name, detail string, f *fault.Error) {
	if f != nil && f.Where == "" {
		f.At("%s", k.s.Where())
	}
	k.found = append(k.found, connector.Finding{Name: name, Detail: detail, Fault: f})
}

func (k *checker) warn(name, detail string, f *fault.Error) {
	k.add(name, detail, f)
	k.found[len(k.found)-1].Warn = true
}

func (k *checker) version(context.Context) error {
	major, _, _ := strings.Cut(k.c.version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldest {
		k.add("version", k.c.version, fault.New(fault.TargetRefused, "the server's version is %s; %d and later are written", k.c.version, oldest).Try("upgrade the server"))
		return nil
	}
	k.add("version", k.c.version, nil)
	return nil
}

// writable finds a standby, and a database that was made read-only.
func (k *checker) writable(ctx context.Context) error {
	r, err := k.c.query(ctx, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
	if err != nil {
		return err
	}
	if string(r.rows[0][0]) == "t" {
		k.add("writable", "a standby", fault.New(fault.TargetRefused, "the server is a standby").Try("write to the primary"))
	} else if string(r.rows[0][1]) == "on" {
		k.add("writable", "read-only", fault.New(fault.TargetRefused, "transactions are read-only").Try("ALTER DATABASE %s SET default_transaction_read_only = off;", quote(k.s.cfg.database)))
	} else {
		k.add("writable", "yes", nil)
	}
	return nil
}

// durable warns where a commit may be lost after it was answered.
func (k *checker) durable(ctx context.Context) error {
	r, err := k.c.query(ctx, "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')")
	if err != nil {
		return err
	}
	fsync, pages, wait := string(r.rows[0][0]), string(r.rows[0][1]), string(r.rows[0][2])
	detail := "fsync=" + fsync + " full_page_writes=" + pages + " synchronous_commit=" + wait
	switch {
	case fsync == "off" || pages == "off":
		k.warn("durability", detail, fault.New(fault.TargetRefused, "the server does not make commits safe: when its machine fails the database may be damaged").
			Try("ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();"))
	default:
		// Off loses the last commits with their positions: they are read again.
		k.add("durability", detail, nil)
	}
	return nil
}

func (k *checker) control(ctx context.Context) error {
	if err := k.s.prepared(ctx); err != nil {
		k.add("control tables", k.s.control.schema, fault.Of(err))
		return nil
	}
	k.add("control tables", fmt.Sprintf("schema %s, version %d", k.s.control.schema, controlVersion), nil)
	return nil
}

// rights looks whether the tables that are missing can be made.
func (k *checker) rights(ctx context.Context) error {
	missing := map[string]bool{}
	for _, t := range k.tables {
		missing[k.s.target(t).schema] = true
	}
	for schema := range missing {
		r, err := k.c.query(ctx, "SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1) THEN has_schema_privilege(current_user, (SELECT oid FROM pg_namespace WHERE nspname = $1), 'CREATE, USAGE') ELSE has_database_privilege(current_user, current_database(), 'CREATE') END", text(schema))
		if err != nil {
			return err
		}
		if string(r.rows[0][0]) != "t" {
			k.add("rights", "schema "+schema, fault.New(fault.TargetRefused, "user %q may not make tables in schema %s", k.s.cfg.user, schema).
				Try("CREATE SCHEMA IF NOT EXISTS %s; GRANT CREATE, USAGE ON SCHEMA %s TO %s;", quote(schema), quote(schema), quote(k.s.cfg.user)))
		}
	}
	return nil
}

// targets finds tables that cannot be taken.
func (k *checker) targets(ctx context.Context) error {
	if there, err := k.s.exists(ctx); err != nil || !there {
		return err
	}
	fresh, ours := 0, 0
	for _, t := range k.tables {
		g := k.s.target(t)
		st, err := k.s.stateOf(ctx, k.c, g)
		if err == nil && (!st.owned || st.dropped) {
			fresh++
			_, err = k.s.claimTable(ctx, k.c, g, st)
		} else if err == nil {
			ours++
			if !st.exists {
				err = k.s.missing(g)
			}
		}
		var e *fault.Error
		if errors.As(err, &e) {
			k.add("table", g.schema+"."+g.name, e)
		} else if err != nil {
			return err
		}
	}
	k.add("tables", fmt.Sprintf("%d to be made or taken, %d of this job", fresh, ours), nil)
	return nil
}

// maxNamed is how many tables a finding names.
const maxNamed = 5

func (k *checker) keys(context.Context) error {
	var names []string
	for _, t := range k.tables {
		if len(t.Key) == 0 {
			names = append(names, t.Name.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if len(names) > maxNamed {
		list += fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	k.warn("keys", list, fault.New(fault.TargetRefused, "without a key a delete or update reads the whole table of the target: %s", list).Try("give them a primary key in the source"))
	return nil
}
