package postgres

import (
	"strings"
	"testing"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/test/servers/postgres"
)

// A server that is a standby for a while is one that does not answer: what is done is tried
// again, over another connection.
func TestOpen_when_the_server_is_a_standby(t *testing.T) {
	s := postgres.Start(t)
	table := fitTable()
	r := newRig(t, s, nil, table)
	first := cells(1, 2, "1.00", uint64(1), "é", nil, nil, nil, nil)
	r.must(r.write(table, change{row.Read, first}))
	s.Demote(t)
	passes := func(what string, err error) {
		t.Helper()
		if err == nil || fault.Of(err).Code != fault.TargetUnreachable || fault.ClassOf(err) != fault.Retry {
			t.Errorf("%s: %v", what, err)
		}
	}
	shard := connector.Shard{Job: "shop", Sink: "lake", Task: connector.StreamSplit}
	passes("a commit over the old session", r.write(table, change{row.Insert, cells(2, 2, "1.00", uint64(1), "é", nil, nil, nil, nil)}))
	_, _, err := r.sink.Open(t.Context(), shard, connector.Claim{Run: 2, Attempt: 1})
	passes("a claim", err)
	if err == nil || !strings.Contains(err.Error(), stateReadOnly) || len(r.sink.idle) > 1 {
		t.Errorf("%v, %d sessions wait", err, len(r.sink.idle))
	}
	passes("a value", func() error { _, err := r.sink.Once(t.Context(), "k", []byte("v")); return err }())
	s.Promote(t)
	r.open(3)
	r.must(r.write(table, change{row.Insert, cells(2, 2, "1.00", uint64(1), "é", nil, nil, nil, nil)}))
	r.wants("SELECT count(*) FROM shop.t", "2")
}

// What a server says that ends or begins passes.
func TestFaults_when_a_server_ends(t *testing.T) {
	s := postgres.Start(t)
	r := newRig(t, s, nil, fitTable())
	for _, state := range []string{"57P01", "57P02", "57P03"} {
		c, err := r.sink.session(t.Context())
		r.must(err)
		_, err = c.query(t.Context(), "DO $$ BEGIN RAISE EXCEPTION 'over' USING ERRCODE = '"+state+"'; END $$")
		r.sink.done(c)
		if fault.ClassOf(err) != fault.Retry {
			t.Errorf("%s: %v", state, err)
		}
	}
	s.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'godwit%'")
	if err := r.w.Commit(t.Context(), position.Set{}); fault.Of(err).Code != fault.TargetUnreachable {
		t.Errorf("57P01: %v", err)
	}
}
