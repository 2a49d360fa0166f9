package storetest

import (
	"testing"

	"godwit/internal/store"
	"godwit/internal/store/local"
	"godwit/internal/store/powerfs"
)

func TestRun_over_memory(t *testing.T) {
	disk := (*powerfs.Disk)(nil)
	Run(t, func(t *testing.T) store.Store {
		disk = powerfs.New()
		return open(t, disk)
	}, Options{
		Second:      func(t *testing.T, _ store.Store) store.Store { return open(t, disk) },
		Keys:        []string{"tab\tnew\nline"},
		ListObjects: 3000,
		Keeps:       fileKeeps, DivideObjects: 400,
	})
}

// fileKeeps is what a file keeps of attributes.
func fileKeeps(a *store.Attributes) {
	*a = store.Attributes{Mode: a.Mode, Owner: a.Owner, Modified: a.Modified}
}

func open(t *testing.T, disk *powerfs.Disk) store.Store {
	t.Helper()
	s, err := local.New(disk.Process(), "/data/lake", local.Options{ListBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRunPower(t *testing.T) {
	RunPower(t, openSmall, PowerOptions{Reached: append(reached(), powerfs.SyncAll, powerfs.RemoveDir)})
}

func openSmall(fsys local.FS) (store.Store, error) {
	return local.New(fsys, "/data/lake", local.Options{BufferBytes: 256, SyncAllFrom: 3})
}
