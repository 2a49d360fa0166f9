package service

import (
	"context"
	"database/sql"

	"godwit/internal/api"
	"godwit/internal/service/alarm"
	"godwit/internal/service/feed"
	"godwit/internal/service/history"
	"godwit/internal/service/token"
	"godwit/internal/service/verification"
	"godwit/internal/watch"
)

// parts are what a service is made of besides jobs.
type parts struct {
	book   book
	keeper keeper
	board  board
	hub    hub
	proofs *verification.Keeper
}

// book has the tokens (token.Book).
type book interface {
	Create(ctx context.Context, by string, in api.TokenRequest) (api.NewToken, error)
	List(ctx context.Context) ([]api.Token, error)
	Revoke(ctx context.Context, name string) error
	Bearer(ctx context.Context, text string) (api.Token, error)
}

// keeper has what was measured (history.Keeper).
type keeper interface {
	Sample(job string, p *watch.Progress)
	Of(job, span string) (api.History, error)
	Forget(job string)
}

// board has the alarms (alarm.Board).
type board interface {
	Raise(job, kind, on, what, hint string)
	Resolve(job, kind, on string)
	List(ctx context.Context, q api.ListAlarmsParams) ([]api.Alarm, error)
	Silence(ctx context.Context, who, id string, in api.Silence) (api.Alarm, error)
	Watch(job string, j api.Job, p *watch.Progress)
	Count(job string) int
	Forget(job string)
	Close()
}

// hub tells followers what happens (feed.Hub).
type hub interface {
	Tell(kind, job string, data any)
	TellNow(kind, job string, data any)
	Follow(ctx context.Context, after uint64, job string, each func(id uint64, kind, job string, data any) error) error
	Close()
}

// openParts makes the parts; they keep what they must in tables of their own in db.
func openParts(db *sql.DB, o Options) (p parts, err error) {
	h := feed.New(o.Now)
	p.hub, p.keeper = h, history.New(o.Now)
	if p.proofs, err = verification.Open(db); err != nil {
		p.close()
		return p, err
	}
	if p.book, err = token.New(db, o.Now); err != nil {
		p.close()
		return p, err
	}
	a := o.Alarms
	a.Now, a.Log = o.Now, o.Log
	a.Told = func(a api.Alarm) { h.TellNow("alarm", a.Job, a) }
	if p.board, err = alarm.Open(db, a); err != nil {
		p.close()
		return p, err
	}
	return p, nil
}

// close is called before the database is closed.
func (p parts) close() {
	if p.board != nil {
		p.board.Close()
	}
	p.hub.Close()
}
