package store

import (
	"context"
	"fmt"
	"io"

	"godwit/internal/fault"
)

// Pour gives a body, which must have the size it says, from its beginning to write, in
// pieces that are lent. where tells people where it goes.
func Pour(ctx context.Context, where string, body Body, write func([]byte) error) error {
	r, err := body.Open(0)
	if err != nil {
		return fmt.Errorf("body of %s: %w", where, err)
	}
	defer r.Close()
	buf := make([]byte, min(max(body.Size, 0)+1, 256<<10))
	size := int64(0)
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", where, context.Cause(ctx))
		}
		n, err := io.ReadFull(r, buf)
		if size += int64(n); size > body.Size {
			break
		}
		if n > 0 {
			if werr := write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return fmt.Errorf("body of %s: %w", where, err)
		}
	}
	if size != body.Size {
		return fault.New(fault.Internal, "the body has not the %d bytes it says", body.Size).At("%s", where)
	}
	return nil
}
