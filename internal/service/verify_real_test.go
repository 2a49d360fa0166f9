package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/engine"
	"godwit/internal/file"
	"godwit/internal/job"
	"godwit/internal/service/alarm"
	"godwit/internal/store"
	"godwit/internal/store/local"
)

// folders is a file job from folder to folder, moved and verified by the real engine.
type folders struct {
	*world
	in, out string
	told    chan string // what the webhook took: event and kind
}

func newFolders(t *testing.T, more string, repeat time.Duration) *folders {
	t.Helper()
	stores := store.Registry{local.Driver()}
	f := &folders{in: t.TempDir(), out: t.TempDir(), told: make(chan string, 1000)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Event string
			Alarm api.Alarm
		}
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Error(err)
		}
		f.told <- m.Event + " " + m.Alarm.Kind
	}))
	t.Cleanup(hook.Close)
	f.world = &world{t: t, dir: t.TempDir() + "/state", engine: &fake{}, tune: func(o *Options) {
		o.Engine, o.Systems = engine.ByKind{job.KindFiles: file.Engine{Stores: stores}}, job.Systems{Stores: stores}
		o.Log, o.Alarms = slog.New(slog.DiscardHandler), alarm.Options{Webhook: hook.URL, Repeat: repeat}
	}}
	f.open()
	t.Cleanup(func() { f.close() })
	for i := range 20 {
		f.write(f.in, fmt.Sprintf("d%d/k%02d", i%3, i), fmt.Sprint("object ", i))
	}
	f.submit(fmt.Sprintf("name: media\nkind: files\nsource: {url: \"file://%s\"}\nsink: {url: \"file://%s\"}\n%s", f.in, f.out, more))
	return f
}

func (f *folders) write(dir, key, text string) {
	f.t.Helper()
	path := filepath.Join(dir, key)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		f.t.Error(err)
	}
}

// hears waits until the webhook was told something, and returns what it was told
// before.
func (f *folders) hears(want string) (before []string) {
	f.t.Helper()
	for end := time.After(20 * time.Second); ; {
		select {
		case got := <-f.told:
			if got == want {
				return before
			}
			before = append(before, got)
		case <-end:
			f.t.Fatalf("nobody was told %q", want)
		}
	}
}

func (f *folders) ends() {
	f.t.Helper()
	f.await("media", "at its end", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && f.jobs["media"].lifeNow() == nil
	})
}

// spoil flips a byte of a copy that keeps its size and its time, removes a copy and
// adds an object that no source has.
func (f *folders) spoil() {
	f.t.Helper()
	path := filepath.Join(f.out, "d0/k03")
	was, err := os.Stat(path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(f.out, "d0/k03", "object 4")
	f.write(f.out, "d1/more", "x")
	for _, err := range []error{os.Chtimes(path, was.ModTime(), was.ModTime()), os.Remove(filepath.Join(f.out, "d2/k05"))} {
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// Differences that are there raise an alarm that is told, repeated, silenced and, once
// they are mended and a verification says so, resolved.
func TestVerify_when_a_target_is_spoiled(t *testing.T) {
	f := newFolders(t, "", 50*time.Millisecond)
	f.ends()
	f.verifies("media")
	v := f.verified("media")
	if v.Verdict != api.VerdictEqual || v.Equal.Objects != 20 || v.Strength != "strongest" || len(v.EqualBy) != 1 || len(v.Differences) > 0 || v.NotLookedFor != "" {
		t.Errorf("%+v", v)
	}
	f.spoil()
	f.verifies("media")
	v = f.verified("media")
	var found []string
	for _, d := range v.Differences {
		found = append(found, d.Key+" "+d.Kind)
	}
	if want := []string{"d0/k03 different", "d1/more extra", "d2/k05 missing"}; !slices.Equal(found, want) || v.Verdict != api.VerdictDifferent || v.Equal.Objects != 18 {
		t.Errorf("%q, %+v", found, v)
	}
	held, err := f.Alarms(t.Context(), api.ListAlarmsParams{Job: "media"})
	if err != nil || len(held) != 1 || held[0].Kind != alarm.Differences || held[0].What != "source and target are not proven equal: 1 missing, 1 extra, 1 different" ||
		!strings.Contains(held[0].Hint, "godwit job verify media --last") {
		t.Fatalf("%+v, %v", held, err)
	}
	f.hears("raised differences")
	f.hears("repeated differences")
	if _, err := f.Silence(t.Context(), ana, held[0].ID, api.Silence{Seconds: 3600}); err != nil {
		t.Fatal(err)
	}
	for len(f.told) > 0 {
		<-f.told
	}
	f.mend(v.ID)
	if before := f.hears("resolved differences"); len(before) > 1 { // one may have been under way
		t.Errorf("it was silenced, and told: %q", before)
	}
	if got := f.alarmsOf("media"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	f.spoil() // and it is raised again, as another one
	f.verifies("media")
	f.verified("media")
	f.hears("raised differences")
}

// mend brings the target in order. Only a verification resolves the alarm.
func (f *folders) mend(last int64) {
	f.t.Helper()
	f.write(f.out, "d0/k03", "object 3")
	if err := os.Remove(filepath.Join(f.out, "d1/more")); err != nil {
		f.t.Fatal(err)
	}
	f.act("media", api.ActActStart)
	f.await("media", "at the end of its second run", func(v api.Job) bool {
		return v.Standing.Status == api.StatusFinished && v.Run == 2 && f.jobs["media"].lifeNow() == nil
	})
	if v, err := f.Show(f.t.Context(), "media"); err != nil || v.Alarms != 1 {
		f.t.Errorf("%+v, %v", v, err)
	}
	f.verifies("media")
	if v := f.verified("media"); v.ID == last || v.Verdict != api.VerdictEqual || v.Equal.Objects != 20 {
		f.t.Errorf("%+v", v)
	}
}

// A job that goes in rounds, whose source never rests, is equal to its target: what
// came since the last round is no difference.
func TestVerify_when_objects_keep_coming(t *testing.T) {
	f := newFolders(t, "every: 1s\n", 0)
	f.await("media", "through its first round", func(v api.Job) bool { return v.Standing.Status == api.StatusFinished })
	stop, stopped := make(chan struct{}), make(chan struct{})
	came := 0
	f.write(f.in, "new/first", "text")
	go func() {
		defer close(stopped)
		for more := time.NewTicker(2 * time.Millisecond); ; came++ {
			select {
			case <-more.C:
				f.write(f.in, fmt.Sprintf("new/%06d", came), "text")
			case <-stop:
				more.Stop()
				return
			}
		}
	}()
	f.verifies("media")
	v := f.verified("media")
	close(stop)
	<-stopped
	if v.Verdict != api.VerdictEqual || v.Equal == nil || v.Equal.Objects < 20 || len(f.alarmsOf("media")) > 0 {
		t.Errorf("%+v", v)
	}
	if came == 0 {
		t.Error("nothing came")
	}
	last := f.await("media", "at rest", is(api.StatusFinished)).Run
	f.await("media", "two rounds on", func(v api.Job) bool { return v.Run >= last+2 && v.Standing.Status == api.StatusFinished })
	f.act("media", api.ActActPause)
	f.await("media", "at rest", func(api.Job) bool { return f.jobs["media"].lifeNow() == nil })
	f.write(f.out, "extra", "x")
	f.verifies("media")
	if v := f.verified("media"); v.Extra != 1 || v.Missing != 0 {
		t.Errorf("%+v", v)
	}
}
