package mysql

import (
	"context"

	"godwit/internal/fault"
)

// A server writes XA COMMIT to its log first and makes the rows visible afterwards: it is
// the one commit for which a view and the place noted with it may disagree. A view is
// taken anew until no XA transaction was being committed when it was made.

// settleTries bounds how often that is. A try takes about a millisecond.
const settleTries = 1000

// beginSettled opens a snapshot that has the rows of every XA transaction committed
// before its place.
func (s *source) beginSettled(ctx context.Context, snap *snapshot) error {
	for range settleTries {
		began, err := begunXA(ctx, snap.c)
		if err != nil {
			return err
		}
		open, err := openXA(ctx, snap.c)
		if err != nil {
			return err
		}
		if err := snap.c.exec(ctx, startSnapshot); err != nil {
			return err
		}
		again, err := begunXA(ctx, snap.c)
		if err != nil {
			return err
		}
		if began != again {
			continue // one may have been under way
		}
		if err := s.readMark(ctx, snap); err != nil {
			return err
		}
		if ended, err := s.anyEnded(ctx, open, snap.place); err != nil || !ended {
			return err
		}
	}
	return fault.New(fault.SourceBusy, "XA transactions are committed without a pause, so that no snapshot has an exact place").At("%s", s.where())
}

// begunXA returns how many XA COMMIT the server has begun.
func begunXA(ctx context.Context, c *conn) (string, error) {
	rows, err := c.query(ctx, "SHOW GLOBAL STATUS LIKE 'Com\\_xa\\_commit'")
	if err != nil || len(rows) != 1 {
		return "", err
	}
	return rows[0][1].text(), nil
}

// openXA returns the names of the XA transactions that are prepared. One that is being
// committed is among them until its rows are visible.
func openXA(ctx context.Context, c *conn) ([]string, error) {
	rows, err := c.query(ctx, "XA RECOVER")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range rows {
		global := int(number(v[1]))
		if data := v[3].bytes; global >= 0 && global <= len(data) {
			out = append(out, xaName(uint32(number(v[0])), data[:global], data[global:]))
		}
	}
	return out, nil
}

// anyEnded reports whether the log has an end of one of these XA transactions before a
// place: the server has them as prepared, so their rows were not visible there.
func (s *source) anyEnded(ctx context.Context, names []string, until place) (bool, error) {
	for ; len(names) > 0 && until.file > 0; until.file, until.offset = until.file-1, maxOffset {
		log, err := s.preparedIn(ctx, until)
		if fault.Has(err, fault.SourceLost) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		var unseen []string
		for _, n := range names {
			if _, open := log.open[n]; open {
				continue
			}
			if log.ended[n] {
				return true, nil
			}
			unseen = append(unseen, n)
		}
		names = unseen
	}
	return false, nil
}
