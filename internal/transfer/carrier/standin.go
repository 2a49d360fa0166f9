package carrier

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"godwit/internal/fault"
	"godwit/internal/limit"
	"godwit/internal/store"
	"godwit/internal/transfer/page"
	"godwit/internal/watch"
)

// This file stands in for the carrier until it is merged: delete it then.

// Verify says how a copy is checked.
type Verify string

// Ways to check a copy.
const (
	Strongest Verify = ""
	ReadBack  Verify = "read_back"
)

// Config is what a Carrier works with.
type Config struct {
	Source, Target store.Store
	Dir            string
	Budget         *limit.Budget
	Limits         *limit.Rates
	Lanes          int
	PartSize       int64
	Class          string
	Owner          bool
	Verify         Verify
	Erase          bool
	Record         *watch.Files
	Log            *slog.Logger
	Now            func() time.Time
}

// Carrier carries objects.
type Carrier struct{ c Config }

// New returns a Carrier.
func New(c Config) *Carrier { return &Carrier{c} }

// Close does nothing.
func (c *Carrier) Close() error { return nil }

// Slow does nothing.
func (c *Carrier) Slow() {}

// Carry copies small objects.
func (c *Carrier) Carry(ctx context.Context, i page.Item) (page.Outcome, error) {
	c.c.Record.Flying(1, i.Size)
	defer c.c.Record.Flying(-1, -i.Size)
	out := page.Outcome{State: page.Copied, How: "put", Checked: "size", Attempts: 1, At: time.Now()}
	err := c.put(ctx, i)
	if err != nil && ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if err != nil {
		f := fault.Of(err)
		out.State, out.Code, out.Error = page.Failed, f.Code, f.Error()
	}
	return out, nil
}

func (c *Carrier) put(ctx context.Context, i page.Item) error {
	r, o, err := c.c.Source.Open(ctx, i.Key, store.Read{})
	if err != nil {
		return err
	}
	defer r.Close()
	data := make([]byte, 0, o.Size)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		data = append(data, buf[:n]...)
		if lerr := c.c.Limits.Bytes(ctx, n); lerr != nil {
			return lerr
		}
		c.c.Record.Sent(n)
		if err != nil {
			break
		}
	}
	_, err = c.c.Target.Put(ctx, i.Target(), body(data), store.PutOptions{Attributes: store.Attributes{Modified: o.Modified}})
	return err
}

func body(b []byte) store.Body {
	return store.Body{Size: int64(len(b)), Open: func(off int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b[off:])), nil }}
}
