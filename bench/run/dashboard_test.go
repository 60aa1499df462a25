package run

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/outdir"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

const scriptsDir = "../../scripts"

// console is what a run says, and the address of its dashboard as soon as it is said.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
	url  chan string
	told bool
}

func newConsole() *console { return &console{url: make(chan string, 1)} }

var dashboardURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if url := dashboardURL.Find(p); url != nil && !c.told {
		c.told = true
		c.url <- string(url)
	}
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// TestDashboardLetsGo holds a page of the dashboard open beyond the end of a leg, as browsers do: k6 would wait for it for ever.
func TestDashboardLetsGo(t *testing.T) {
	o, _ := options(t, "watched")
	said := newConsole()
	o.Console, o.Dashboard, o.DashboardListen = said, true, "127.0.0.1:0"
	if err := os.WriteFile(filepath.Join(o.Scripts, k6.DashboardConfig), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	var outcome *Outcome
	go func() {
		var err error
		outcome, err = Run(t.Context(), o)
		done <- err
	}()
	url := <-said.url
	legs := 0
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			ended = true
		case <-again.C:
			if strings.Contains(fetch(t, url), "the fake's dashboard") { // returns when the page is cut off
				legs++
			}
		}
	}
	if legs != 2 || len(outcome.Legs) != 2 || outcome.Exit != 0 {
		t.Errorf("%d dashboards, %d legs, want 2 of each\n%s", legs, len(outcome.Legs), said)
	}
	for _, leg := range outcome.Legs {
		if !slices.ContainsFunc(leg.Record.Notes, func(n string) bool { return strings.Contains(n, "dashboard") }) {
			t.Errorf("%s: notes %q don't say that a dashboard ran", leg.Name, leg.Record.Notes)
		}
		page := filepath.Join(o.Out, "dashboard-"+leg.Name+".html")
		if text, err := os.ReadFile(page); err != nil || string(text) != "the fake's page" {
			t.Errorf("page of leg %s: %q, %v", leg.Name, text, err)
		}
		if !strings.Contains(said.String(), page) {
			t.Errorf("the console doesn't name %s:\n%s", page, said)
		}
	}
}

// fetch reads a page to its end, however that comes.
func fetch(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "" // the run has ended
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body) // cut off: what came until then counts
	return string(text)
}

// awaitSnapshots waits for n more snapshots of a dashboard: of a run with fewer than two k6 writes no page.
func awaitSnapshots(t *testing.T, url string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var seen []string
	for lines := bufio.NewScanner(response.Body); n > 0; {
		if !lines.Scan() {
			t.Fatalf("the dashboard's events end, %d snapshots too early: %v after %q", n, lines.Err(), seen)
		}
		if name, is := strings.CutPrefix(lines.Text(), "event:"); is {
			if seen = append(seen, name); strings.TrimSpace(name) == "snapshot" {
				n--
			}
		}
	}
}

func TestDashboardRefuses(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		change func(o *Options)
		want   string
	}{
		"an address that is in use":     {func(o *Options) { o.Dashboard, o.DashboardListen = true, taken.Addr().String() }, "address already in use"},
		"an address without a port":     {func(o *Options) { o.Dashboard, o.DashboardListen = true, "localhost" }, "want HOST:PORT"},
		"an address alone":              {func(o *Options) { o.DashboardListen = "127.0.0.1:0" }, "goes with --dashboard"},
		"scripts without configuration": {func(o *Options) { o.Dashboard = true; o.DashboardListen = "127.0.0.1:0" }, k6.DashboardConfig + " can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := options(t, "ok")
			if name != "scripts without configuration" {
				if err := os.WriteFile(filepath.Join(o.Scripts, k6.DashboardConfig), []byte("{}"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(&o)
			_, err := Run(t.Context(), o)
			var input *input.Error
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want an InputError of one line with %q", err, tt.want)
			}
			if got := files(t, o.Out); len(got) > 0 {
				t.Errorf("results hold %q, want nothing", got)
			}
		})
	}
}

// TestDashboardInABrowser runs a storm with the dashboard beside it, for as long as a real browser needs to look at it: 250 and 450 are
// series of their own, live and on the page that stays.
func TestDashboardInABrowser(t *testing.T) {
	chromium := sinktest.RequireTool(t, "chromium", "chromium")
	program := realK6(t)
	dir := t.TempDir()
	bundle, err := k6.FindBundle(scriptsDir, "")
	if err != nil {
		t.Fatal(err)
	}
	said := newConsole()
	stop := make(chan struct{})
	r := &runner{
		o:  Options{Console: said, Stop: stop, Flags: fault.Flags{Replies: []string{"rcpt=250:80,450:20"}, Seed: 1}},
		k6: program, bundle: bundle, scratch: &supervise.Scratch{Dir: dir}, progress: text.NewProgress(said, false, 80),
	}
	if r.board, err = k6.StartDashboard("127.0.0.1:0", &r.bundle); err != nil {
		t.Fatal(err)
	}
	defer r.board.Close()
	if r.out, err = outdir.New(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	storm, err := r.o.storm(&r.bundle, "")
	if err != nil {
		t.Fatal(err)
	}
	var leg *Leg
	done := make(chan error, 1)
	go func() {
		var err error
		leg, err = r.direct(t.Context(), "storm", "storm", load{script: bundle.Path(k6.StormScript), messages: 18_000, rate: 50, vus: 20}, storm)
		done <- err
	}()
	seen, err := inBrowser(t, program, chromium, "testdata/dashboard.js", "URL="+r.board.URL, "SHOT="+filepath.Join(dir, "dashboard.png"))
	if err == nil {
		awaitSnapshots(t, r.board.URL, 2)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, seen)
	}
	if leg.Reconciliation == nil || !leg.Reconciliation.Balanced {
		t.Errorf("the leg is not reconciled: %+v", leg.Reconciliation)
	}
	_, line, _ := strings.Cut(seen, "SAW ")
	line, _, _ = strings.Cut(line, `}"`)
	for _, want := range []string{`smtp_replies{code:250}`, `smtp_replies{code:450}`, `smtp_replies{phase:rcpt}`, "Sink and delivery", "Connections", `\"complaints\":[]`} {
		if !strings.Contains(line, want) {
			t.Errorf("the browser saw no %s: %s", want, seen)
		}
	}
	want, err := json.Marshal([]string{`smtp_replies{code:250}`, `smtp_replies{code:450}`, "p(95) by phase", "Replies per second by code"})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := inBrowser(t, program, chromium, "testdata/page.js", "URL=file://"+r.out.Path("dashboard-storm.html"), "WANT="+string(want))
	if err != nil || !strings.Contains(shown, `SAW {\"lacks\":[],`) {
		t.Errorf("the page that stays: %v\n%s", err, shown)
	}
}

// inBrowser runs a script of k6's browser module, which waits for what it wants to see on a page, and returns what it says. The browser
// reaches this machine only.
func inBrowser(t *testing.T, program, chromium, script string, env ...string) (said string, err error) {
	t.Helper()
	for range 3 {
		said, err = inOneBrowser(t, program, chromium, script, env...)
		// Now and then k6 misses the event that tells of the page: it has looked at nothing then.
		if !strings.Contains(said, "creating new page in browser context: timed out") {
			break
		}
		t.Log("k6 waits for its browser's page in vain, and tries again")
	}
	return said, err
}

func inOneBrowser(t *testing.T, program, chromium, script string, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	look := exec.CommandContext(ctx, program, "run", "--quiet", "--no-color", script)
	for _, e := range env {
		look.Args = append(look.Args, "--env", e)
	}
	look.Env = append(os.Environ(), "K6_NO_USAGE_REPORT=true", "K6_AUTO_EXTENSION_RESOLUTION=false",
		"K6_BROWSER_EXECUTABLE_PATH="+chromium, "K6_BROWSER_HEADLESS=true",
		"K6_BROWSER_ARGS=no-sandbox,disable-background-networking,host-resolver-rules=MAP * ~NOTFOUND EXCLUDE 127.0.0.1", "K6_BROWSER_TIMEOUT=45s")
	said, err := look.CombinedOutput()
	return string(said), err
}
