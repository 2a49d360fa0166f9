package table

import (
	"context"
	"errors"
	"time"

	"godwit/internal/connector"
	"godwit/internal/engine"
	"godwit/internal/engine/local"
	"godwit/internal/fault"
	"godwit/internal/flow"
	"godwit/internal/job"
	"godwit/internal/position"
	"godwit/internal/row"
	"godwit/internal/verify/rows"
	"godwit/internal/watch"
)

var _ engine.Repairer = Engine{}

// wrong are the rows of a table in a sink that differ.
type wrong struct {
	sink  *flow.SinkState
	table *row.Table
	ids   *rows.IDs
}

// repair is a verification that mends.
type repair struct {
	*verification
	wrong []*wrong
	done  watch.RepairReport
}

// Repair makes rows of the sinks what the source has, of a job that does not run.
func (e Engine) Repair(ctx context.Context, s *job.Spec, o engine.Options, each func(watch.Difference) error, ask func(watch.VerifyReport) error) (r watch.RepairReport, err error) {
	state, err := local.OpenState(o.State, s.Name, true)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	opened, err := e.connect(ctx, s, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, opened.close()) }()
	states, err := opened.flow.Find(ctx)
	if err == nil {
		err = opened.ruled(states)
	}
	if err != nil {
		return r, err
	}
	v, err := newVerification(opened, o, each)
	if err != nil {
		return r, err
	}
	defer v.close()
	v.patience = restingPatience
	m := &repair{verification: v}
	defer func() { err = errors.Join(err, m.forget()) }()
	v.keep = m.keep
	if err := v.run(ctx); err != nil {
		return r, err
	}
	v.report.Ended = time.Now().UTC()
	if err := ask(v.report); err != nil {
		return r, err
	}
	for _, t := range v.report.Tables {
		if t.NotCompared != "" { // nothing of it is mended
			m.done.After.NotComparable++
		}
	}
	if len(m.wrong) > 0 {
		err = m.mendAll(ctx, state)
	}
	return m.done, err
}

// keep returns what keeps the rows of a table that may be mended.
func (m *repair) keep(s *flow.SinkState, t *row.Table) func(id []byte) error {
	var here *wrong
	a, ok := s.Sink.Sink.(connector.Appending)
	appends := ok && a.Appends()
	return func(id []byte) error {
		if appends {
			m.done.Left++
			return nil
		}
		if here == nil {
			here = &wrong{sink: s, table: t, ids: rows.NewIDs(m.o.State)}
			m.wrong = append(m.wrong, here)
		}
		return here.ids.Add(id)
	}
}

func (m *repair) forget() (err error) {
	for _, w := range m.wrong {
		err = errors.Join(err, w.ids.Close())
	}
	return err
}

// mendAll mends as a run of its own: its claim keeps older ones out.
func (m *repair) mendAll(ctx context.Context, state *local.State) error {
	states, err := m.flow.Find(ctx)
	if err != nil {
		return err
	}
	run, err := nextRun(ctx, state, states)
	if err != nil {
		return err
	}
	if err := state.StartRun(ctx, run); err != nil {
		return err
	}
	attempt := uint64(0)
	for _, w := range m.wrong {
		attempt++
		if err = m.mend(ctx, w, connector.Claim{Run: run, Attempt: attempt}); err != nil {
			err = fault.InSink(w.sink.Sink.Name, err)
			break
		}
	}
	exit, outcome := local.End(false, err)
	if err == nil {
		outcome = "rows were repaired"
	}
	return errors.Join(err, state.EndRun(context.WithoutCancel(ctx), run, exit, outcome))
}

// mend mends the rows of a table, and looks at them again.
func (m *repair) mend(ctx context.Context, w *wrong, claim connector.Claim) error {
	c := m.config(w.sink, w.table, w.sink.Sink.Sink.(connector.Readable))
	err := m.flow.Mend(ctx, w.sink, claim, func(put func(*row.Batch) error, at position.Position, incarnation uint16) error {
		first := uint64(time.Now().UnixMicro()) // above that of every repair before
		done, err := rows.Mend(ctx, c, w.ids, rows.Place{At: at, Incarnation: incarnation}, first, put)
		m.done.Written += done.Written
		m.done.Left += done.Left
		return err
	})
	if err != nil {
		return err
	}
	again, err := rows.Recheck(ctx, c, w.ids)
	a := &m.done.After
	a.Equal += again.Equal
	a.Missing += again.Missing
	a.Extra += again.Extra
	a.Different += again.Different
	a.Doubled += again.Doubled
	a.NotComparable += again.Unknown
	return err
}
