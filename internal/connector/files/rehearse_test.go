package files

import (
	"testing"

	"godwit/internal/connector/sinktest"
	"godwit/internal/fault"
	"godwit/internal/row"
)

func TestRehearse_when_rows_are_refused(t *testing.T) {
	mem := sinktest.NewMem()
	b := newBench(t, mem, fussyConfig(), "shop")
	r := b.sink.Rehearse()
	var pool row.Pool
	refused := 0
	for n := range uint64(3) {
		batch := batchOf(&pool, tables(2), 10, 1+10*n)
		if err := r.Apply(batch, func(why *fault.Error) {
			if why.Code != fault.RowRefused {
				t.Error(why)
			}
			refused++
		}); err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	if n, err := r.Close(); err != nil || n == 0 || refused < 9 {
		t.Errorf("%d bytes, %d rows refused, %v", n, refused, err)
	}
	if len(mem.Objects)+len(mem.Waiting) > 0 {
		t.Error("something was written")
	}
}
