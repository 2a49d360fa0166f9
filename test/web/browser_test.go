// Package page tests the page in a real browser, against a server that is invented
// (fake) or, one day, a real one. It is a module of its own, so that what drives the
// browser is not among godwit's modules.
package page

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"godwit/test/servers/apt"
	"godwit/test/web/fake"
)

// patience is how long anything may take; it is never slept for.
const patience = 20 * time.Second

// chromium is fetched where the machine has none.
func chromium() (path string, env []string, err error) {
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil, nil
		}
	}
	const program = "usr/lib/chromium/chromium-headless-shell"
	root, err := apt.Root(apt.Set{
		Name: "chromium",
		Packages: []apt.Package{
			{Name: "chromium-headless-shell", Version: "156.0.8078.108-1~deb12u1"},
			{Name: "chromium-common", Version: "156.0.8078.108-1~deb12u1"},
			{Name: "libvorbis0a"}, // not named by the rule that finds the other libraries
		},
		Binaries: []string{program},
	})
	if err != nil {
		return "", nil, fmt.Errorf("no chromium on this machine and none could be fetched: %w", err)
	}
	for _, v := range apt.Env(root) {
		if strings.HasPrefix(v, "LD_LIBRARY_PATH=") {
			env = append(env, v)
		}
	}
	return filepath.Join(root, program), env, nil
}

// started says that there is a browser to be ended.
var started bool

// browser starts one for all tests of the process. It sees nothing but the page, so it
// does without the sandbox, which not every machine lets it have.
var browser = sync.OnceValues(func() (context.Context, error) {
	started = true
	path, env, err := chromium()
	if err != nil {
		return nil, err
	}
	root, _ := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Env(env...), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", false))
	ctx, _ := chromedp.NewContext(root)
	return ctx, chromedp.Do(ctx)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if ctx, err := browser(); err == nil {
			_ = chromedp.Cancel(ctx) // its processes and its folder go with it
		}
	}
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// tab is a tab of the browser with cookies of its own, and what it complained of.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	troubles []string
}

func open(t *testing.T, base string) *tab {
	t.Helper()
	root, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(root, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	p.size(1400, 900)
	return p
}

func (p *tab) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		p.troubles = append(p.troubles, fmt.Sprintf("exception: %s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		p.troubles = append(p.troubles, fmt.Sprintf("%s: %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL))
	}
}

// quiet fails where the page threw, or broke its policy. What a test broke on
// purpose, the browser tells too: those texts are given.
func (p *tab) quiet(meant ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
next:
	for _, text := range p.troubles {
		for _, m := range append(meant, "/whoami") { // how the page learns that nobody is logged in
			if strings.Contains(text, m) {
				continue next
			}
		}
		p.t.Error(text)
	}
	p.troubles = nil
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.shot("trouble")
		p.t.Fatal(err)
	}
}

func (p *tab) visit(path string) { p.t.Helper(); p.do(chromedp.Navigate(p.base + path)) }

func (p *tab) size(width, height int64) { p.t.Helper(); p.do(chromedp.EmulateViewport(width, height)) }

// media makes the browser prefer things: "prefers-color-scheme", "dark".
func (p *tab) media(pairs ...string) {
	p.t.Helper()
	var features []*emulation.MediaFeature
	for i := 0; i+1 < len(pairs); i += 2 {
		features = append(features, &emulation.MediaFeature{Name: pairs[i], Value: pairs[i+1]})
	}
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return chromedp.Void{}, err
	})
}

// until waits for an expression to be true.
func (p *tab) until(what, expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")", chromedp.WithPollingInterval(30*time.Millisecond), chromedp.WithPollingTimeout(patience))); err != nil {
		p.shot("trouble")
		p.t.Fatalf("%s: %v\nthe page says: %.1600s", what, err, eval[string](p, "document.body.innerText"))
	}
}

// says waits until an element has a text.
func (p *tab) says(selector, text string) {
	p.t.Helper()
	p.until(selector+" says "+text, fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.checkVisibility() && e.textContent.includes(%q))", selector, text))
}

// click clicks the first element that has a text, where it is seen.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	p.says(selector, text)
	at := eval[[]float64](p, fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%q)].find(e => e.checkVisibility() && e.textContent.includes(%q)); e.scrollIntoView({block: 'center', behavior: 'instant'});
		const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2] })()`, selector, text))
	p.do(chromedp.MouseClickXY(at[0], at[1]))
}

func (p *tab) keys(keys string) { p.t.Helper(); p.do(chromedp.KeyEvent(keys)) }

// slash presses the key that puts the focus on the search. A real keyboard's letter is
// dropped when the page has used the key; the one that keys would type is not.
func (p *tab) slash() {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "/", Code: "Slash", WindowsVirtualKeyCode: 191})
		return chromedp.Void{}, err
	})
	p.until("the search has the focus", "document.activeElement.type === 'search' && document.activeElement.value === ''")
}

func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// shot keeps a picture in $GODWIT_SHOTS, for eyes; those of docs/pages were made so.
func (p *tab) shot(name string) {
	dir := os.Getenv("GODWIT_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		p.t.Log(err)
	}
}

// login logs in with a token and waits for the jobs.
func (p *tab) login(token string) {
	p.t.Helper()
	p.visit("/")
	p.until("the form", "document.activeElement.id === 'token'")
	p.keys(token + "\r")
	p.until("the jobs", "document.querySelector('.t-jobs .tbody .row:not([hidden])')")
}

// host serves a fake on a port that stays its own while it is gone.
type host struct {
	t    *testing.T
	fake *fake.Server
	addr string
	http *http.Server
}

func serve(t *testing.T, jobs, tables int) *host {
	t.Helper()
	h := &host{t: t, fake: fake.New(jobs, tables), addr: "127.0.0.1:0"}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *host) start() {
	h.t.Helper()
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	h.http = &http.Server{Handler: h.fake.Handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = h.http.Serve(l) }()
}

func (h *host) stop() { _ = h.http.Close() }

func (h *host) url() string { return "http://" + h.addr }

// evalLater waits for what an expression promises.
func evalLater[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}
