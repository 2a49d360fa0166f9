package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/connector"
	"godwit/internal/connector/sinktest"
	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/position"
	"godwit/internal/secret"
	"godwit/test/servers/postgres"
)

// testConfig is the configuration of a sink on s, with schemas of its own.
func testConfig(t testing.TB, s *postgres.Server, given map[string]any) config {
	t.Helper()
	all := map[string]any{"address": s.Addr(), "database": s.Database, "user": s.User, "password": secret.New(s.Password)}
	for k, v := range given {
		all[k] = v
	}
	c, err := readConfig(option.Of(options(), all))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kitWorld is a pair of schemas of a real server. Every message that a process sends
// to the server is a step.
type kitWorld struct {
	cfg   config
	judge *pgconn.PgConn
	mu    *sync.Mutex // of the judge, which all worlds share
	plant *planted    // nil: no defect
}

var worlds atomic.Int64

func newWorlds(t *testing.T, s *postgres.Server) func() sinktest.World {
	judge, err := pgconn.Connect(context.Background(), fmt.Sprintf("postgres://%s:%s@%s/%s?lock_timeout=50", s.User, s.Password, s.Addr(), s.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = judge.Close(context.Background()) })
	base := testConfig(t, s, map[string]any{"tls": option.Of(tlsFields(), map[string]any{"mode": tlsmode.Off})})
	var mu sync.Mutex
	return func() sinktest.World {
		n := worlds.Add(1)
		c := base
		c.schema, c.control = fmt.Sprintf("w%d", n), fmt.Sprintf("g%d", n)
		c.lock = 30 * time.Millisecond
		w := &kitWorld{cfg: c, judge: judge, mu: &mu}
		if n%20 == 0 { // the catalogue stays small
			for k := n - 40; k < n-20; k++ {
				_, _ = w.ask(fmt.Sprintf("DROP SCHEMA IF EXISTS w%d CASCADE; DROP SCHEMA IF EXISTS g%d CASCADE", k, k))
			}
		}
		return w
	}
}

func tlsFields() []option.Field {
	for _, f := range options() {
		if f.Name == "tls" {
			return f.Fields
		}
	}
	return nil
}

func (w *kitWorld) Start(p *sinktest.Process) (connector.Sink, error) {
	c := w.cfg
	c.net = func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		p.OnKill(func() { _ = conn.Close() })
		return &wire{Conn: conn, p: p, plant: w.plant}, nil
	}
	s := newSink(c, connector.Env{Job: "shop", Name: "lake"})
	s.held = 150 // some rows wait for the commit, some do not
	return s, nil
}

// wire is a connection whose every message is a step.
type wire struct {
	net.Conn
	p     *sinktest.Process
	plant *planted
	err   error
}

func (w *wire) Write(b []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	step, instead := stepOf(b), b
	if w.plant != nil {
		var first string
		if first, instead = w.plant.send(b); first != "" {
			if err := w.do(step, simple(first)); err != nil {
				return 0, err
			}
			w.await(step)
		}
	}
	if err := w.do(step, instead); err != nil {
		return 0, err
	}
	return len(b), nil
}

// do makes a message a step.
func (w *wire) do(step string, message []byte) error {
	acted := false
	err := w.p.Do(step, func() error {
		acted = true
		_, err := w.Conn.Write(message)
		return err
	})
	if err != nil {
		if acted && !w.p.Dead() {
			w.await(step)
		}
		w.err = err
		_ = w.Conn.Close()
	}
	return err
}

// await waits for the answer to a message: then it had its effect.
func (w *wire) await(step string) {
	if strings.HasPrefix(step, "rows") || strings.HasPrefix(step, "end") {
		return
	}
	_ = w.SetReadDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, 5)
	for {
		for n := 0; n < len(head); {
			k, err := w.Conn.Read(head[n:])
			if n += k; err != nil {
				return
			}
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		for n := 0; n < len(body); {
			k, err := w.Conn.Read(body[n:])
			if n += k; err != nil {
				return
			}
		}
		if head[0] == 'Z' || head[0] == 'G' || head[0] == 'R' {
			return
		}
	}
}

// stepOf names a message by what it begins with.
func stepOf(b []byte) string {
	switch b[0] {
	case 'Q':
		return "script " + firstWord(b[5:])
	case 'P':
		return firstWord(b[6:]) + " "
	case 'd':
		return "rows"
	case 'c':
		return "copied"
	case 'X':
		return "end"
	}
	return "login"
}

func firstWord(b []byte) string {
	n := 0
	for n < len(b) && (b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z') {
		n++
	}
	return strings.ToLower(string(b[:n]))
}

func (w *kitWorld) ask(sql string) ([][][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.judge.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return nil, err
	}
	return all[len(all)-1].Rows, nil
}

// locked is what the kit is told of a table that cannot be read now.
func locked(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == stateLock {
		return sinktest.ErrLocked
	}
	return err
}

// Look reads the tables and positions without any code of the sink. The server takes
// a moment to see that a process is dead.
func (w *kitWorld) Look(tasks []string) (v *sinktest.View, err error) {
	for range 4 {
		if v, err = w.look(tasks); !errors.Is(err, sinktest.ErrLocked) {
			return v, err
		}
	}
	return v, err
}

func (w *kitWorld) look(tasks []string) (*sinktest.View, error) {
	v := &sinktest.View{Sets: map[string]position.Set{}}
	for _, task := range tasks {
		v.Sets[task] = position.Set{}
	}
	// All of one moment: commits go on while it looks.
	there, err := w.ask(fmt.Sprintf("SELECT to_regclass('%s.godwit_position') IS NOT NULL", w.cfg.control))
	if err != nil || string(there[0][0]) == "f" {
		return v, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := context.Background()
	all, err := w.judge.Exec(ctx, fmt.Sprintf(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT shard, encode(positions, 'hex') FROM %s.godwit_position;
SELECT c.relname, string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = '%s' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1`, w.cfg.control, w.cfg.schema)).ReadAll()
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.judge.Exec(ctx, "COMMIT").Close() }()
	for _, r := range all[1].Rows {
		raw, err := hex.DecodeString(string(r[1]))
		if err != nil {
			return nil, err
		}
		if len(raw) > 0 {
			if v.Sets[string(r[0])], err = position.UnmarshalSet(raw); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range all[2].Rows {
		columns := strings.Split(string(r[1]), ",")
		rows, err := w.judge.Exec(ctx, fmt.Sprintf(`SELECT "%s" FROM %s."%s"`, strings.Join(columns, `","`), w.cfg.schema, r[0])).ReadAll()
		if err != nil {
			return nil, locked(err)
		}
		for _, cells := range rows[0].Rows {
			var texts []string
			for i, c := range cells {
				if c != nil {
					texts = append(texts, columns[i]+"="+string(c))
				}
			}
			v.Final = append(v.Final, sinktest.Line("shop."+string(r[0]), 'r', "", texts))
		}
	}
	return v, nil
}

// Cut ends all sessions of the world.
func (w *kitWorld) Cut(*rand.Rand) {
	_, _ = w.ask("SELECT pg_terminate_backend(session) FROM " + w.cfg.control + ".godwit_position p JOIN pg_stat_activity a ON a.pid = p.session AND a.backend_start = p.session_start")
}

var errCut = fault.New(fault.TargetUnreachable, "an injected cut of the connection").By(errors.New("cut"))

func kitHarness(t *testing.T, s *postgres.Server) sinktest.Harness {
	return sinktest.Harness{Job: "shop", Sink: "lake", State: true, Ends: true, Sample: 10, New: newWorlds(t, s),
		Faults: []sinktest.Fault{{Err: errCut}, {Err: errCut, Lasts: true}, {Err: errCut, After: true}},
		Steps:  []string{"login", "select", "begin", "script"}}
}
