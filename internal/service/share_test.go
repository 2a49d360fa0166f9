package service

import (
	"fmt"
	"testing"

	"godwit/internal/api"
)

func TestShare_when_jobs_come(t *testing.T) {
	w := newWorld(t)
	last := w.share()
	for i := range 4 {
		name := fmt.Sprint("shop-", i)
		w.submit(tableFile(name))
		w.stands(name, api.StatusRunning)
		if now := w.share(); now != 1<<30/int64(i+2) || now >= last {
			t.Errorf("with %d jobs each may take %d", i+1, now)
		} else {
			last = now
		}
	}
}
