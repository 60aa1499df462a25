package k6

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/input"
)

// DefaultDashboard is where the dashboard is served by default: k6's own port, on loopback alone.
const DefaultDashboard = "127.0.0.1:5665"

// What k6's web dashboard is told: by which tags it splits a metric, one at a time, and how often it draws a point.
const (
	DashboardConfig = ".dashboard.json" // its file beside the bundled scripts
	DashboardTags   = "phase,code,expected_response,error_code"
	dashboardPeriod = "1s"
)

// lingering is how long the page of a leg that has ended may go on loading before it is cut off.
const lingering = 2 * time.Second

// Dashboard serves the web dashboard of whichever k6 runs, under one address for all legs of a run.
//
// It stands between browser and k6 because k6 doesn't end as long as a browser looks at its dashboard: once the record of a leg was
// written, the dashboard cuts the browser off, the page keeps what it shows, and k6 ends.
type Dashboard struct {
	bundle *Bundle // has the configuration
	URL    string
	server *http.Server

	mu      sync.Mutex
	leg     *dashboardLeg // nil between legs
	stopped chan struct{} // closed once the server has ended
}

// dashboardLeg is the dashboard of one k6 run.
type dashboardLeg struct {
	upstream *url.URL
	record   string // path of the record, which k6 writes before it waits for browsers
	written  time.Time
	cut      context.Context // done when browsers have to let k6 go
	release  context.CancelFunc
}

// StartDashboard listens. The error is an *input.Error when the address or the configuration is at fault.
func StartDashboard(address string, b *Bundle) (*Dashboard, error) {
	if err := input.HostPort("--dashboard-listen", address); err != nil {
		return nil, err
	}
	if err := b.Check(DashboardConfig); err != nil {
		return nil, input.Errorf("--dashboard: %s can't be read: %v", b.Path(DashboardConfig), err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, input.Errorf("--dashboard-listen %s: %v (another dashboard may run there; 127.0.0.1:0 takes any free port)", address, cause(err))
	}
	d := &Dashboard{bundle: b, URL: "http://" + listener.Addr().String() + "/", stopped: make(chan struct{})}
	d.server = &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(d.stopped)
		_ = d.server.Serve(listener) // it always ends with an error: that it was closed
	}()
	return d, nil
}

// cause is the innermost error, without address and operation.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Close ends the dashboard and cuts off who still looks at it. It does nothing to a nil dashboard.
func (d *Dashboard) Close() {
	if d == nil {
		return
	}
	d.Ended()
	_ = d.server.Close() // what it could not close is closed by the end of the program
	<-d.stopped
}

// Begin prepares the dashboard of a leg and returns the environment that k6 needs for it. export is the path of the page that k6
// leaves behind. A nil dashboard needs nothing.
func (d *Dashboard) Begin(record, export string) ([]string, error) {
	if d == nil {
		return nil, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("find a port for the dashboard: %w", err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	leg := &dashboardLeg{upstream: &url.URL{Scheme: "http", Host: address}, record: record}
	leg.cut, leg.release = context.WithCancel(context.Background())
	d.mu.Lock()
	d.leg = leg
	d.mu.Unlock()
	return []string{
		"K6_WEB_DASHBOARD=true", "K6_WEB_DASHBOARD_HOST=127.0.0.1", "K6_WEB_DASHBOARD_PORT=" + strconv.Itoa(port),
		"K6_WEB_DASHBOARD_PERIOD=" + dashboardPeriod, "K6_WEB_DASHBOARD_TAGS=" + DashboardTags,
		"K6_WEB_DASHBOARD_EXPORT=" + export, "XK6_DASHBOARD_CONFIG=" + d.bundle.Path(DashboardConfig),
	}, nil
}

// Look is called four times a second while k6 runs: it lets k6 go once there is nothing more to see.
func (d *Dashboard) Look(now time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	leg := d.leg
	d.mu.Unlock()
	if leg == nil {
		return
	}
	if leg.written.IsZero() {
		if _, err := os.Stat(leg.record); err == nil {
			leg.written = now
		}
	} else if now.Sub(leg.written) >= lingering {
		leg.release()
	}
}

// Ended forgets the leg whose k6 has ended.
func (d *Dashboard) Ended() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leg != nil {
		d.leg.release()
		d.leg = nil
	}
}

// waiting is shown while no k6 runs. It asks again by itself.
const waiting = `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>smtpbench</title>
<body style="font-family:sans-serif;margin:3em"><p>smtpbench: the dashboard opens here as soon as the next leg runs.</p>`

// ServeHTTP implements http.Handler: it passes a request on to k6.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	leg := d.leg
	d.mu.Unlock()
	if leg == nil || leg.cut.Err() != nil {
		wait(w)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(leg.cut, cancel)()
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(leg.upstream) },
		FlushInterval: -1, // events are of no use in a buffer
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { wait(w) },
		ErrorLog:      d.server.ErrorLog,
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

func wait(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, waiting) // a browser that is gone needs no page
}

// freePort returns a port of the loopback address on which nobody listens now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
