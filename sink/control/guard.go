package control

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// guarded lets through what comes from a client that may know this server.
//
// A page that a developer looks at can have the browser send requests here. What it can't is choose the Host header, nor leave out what
// the browser says of where a request comes from. So a request must name a host that is this server's own: a foreign name that somebody
// has made resolve to this address, which makes the page and this server one origin in the browser's eyes, is none (DNS rebinding). And
// it must not come from another origin.
func (s *Server) guarded(hosts []string) http.Handler {
	names := make([]string, len(hosts))
	for i, name := range hosts {
		names[i] = hostName(name)
	}
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = s.patient(w)
		secure(w.Header())
		switch {
		case !ownHost(r, names):
			fail(w, r, problem(api.ForeignHost, "this server is not called %q (want its address, localhost, or a name that --control-host gives it)", r.Host))
		case cross.Check(r) != nil || foreignRead(r):
			fail(w, r, problem(api.ForeignOrigin, "a page of another site asks"))
		default:
			s.dispatch(w, r)
		}
	})
}

// scraped serves monitoring alone.
func (s *Server) scraped() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = s.patient(w)
		secure(w.Header())
		methods := s.find(r)
		route := methods[http.MethodGet]
		switch {
		case route == nil || route.access != Scraped && route.access != Probe:
			fail(w, r, problem(api.NotFound, "there is nothing at this path here"))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			fail(w, r, wrongMethod(w, r, methods))
		default:
			s.mux.ServeHTTP(w, r)
		}
	})
}

// secure keeps browsers from making more of an answer than it is.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// ownHost reports whether a request calls this server by a name that it has.
func ownHost(r *http.Request, names []string) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	if local.Network() == "unix" { // no browser comes there
		return true
	}
	host := hostName(r.Host)
	if host == "localhost" || slices.Contains(names, host) && host != "" {
		return true
	}
	asked, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil {
		return false
	}
	own, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	a, b := asked.WithZone("").Unmap(), own.Addr().WithZone("").Unmap()
	return a == b || a.IsLoopback() && b.IsLoopback()
}

// hostName returns a host in lower case, without its port and final dot.
func hostName(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil && port != "" {
			return "" // nobody's
		}
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// foreignRead reports whether a page of another origin asks for something of the API, by a method that should change nothing. It could not
// read the answer; but streams and judgements have a price.
func foreignRead(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/v1") {
		return false // a link may lead to the page
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	_, host, _ := strings.Cut(origin, "://")
	return !strings.EqualFold(host, r.Host)
}

// find returns the routes of a request's path; nil when there are none.
func (s *Server) find(r *http.Request) map[string]*route {
	if p := r.URL.EscapedPath(); p == "" || p[0] != '/' || path.Clean(p) != p && path.Clean(p)+"/" != p {
		return nil // neither a redirection nor a second name for anything
	}
	_, pattern := s.mux.Handler(r)
	return s.routes[pattern]
}

// dispatch passes a request to its route, if it has the right to that.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	methods := s.find(r)
	if methods == nil {
		fail(w, r, problem(api.NotFound, "there is nothing at this path (GET /v1/openapi.json says what there is)"))
		return
	}
	route := methods[methodOf(r)]
	if route == nil {
		fail(w, r, wrongMethod(w, r, methods))
		return
	}
	if p := s.refuse(r, route.access); p != nil {
		fail(w, r, p)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// refuse returns why a request has no right to a route, or nil.
func (s *Server) refuse(r *http.Request, access Access) *api.Problem {
	if access == Public || access == Probe {
		return nil
	}
	role, given := s.roleOf(r)
	switch {
	case role == RoleNone && given:
		return problem(api.TokenNeeded, "the token is not one of this sink's")
	case role == RoleNone:
		return problem(api.TokenNeeded, "a token is needed (Authorization: Bearer TOKEN; smtpsink ctl: --token-file FILE or $SMTPSINK_CONTROL_TOKEN)")
	case access == Write && role != RoleWrite:
		return problem(api.Role, "this token may only read")
	case access == Write && s.stopping.Load():
		return problem(api.Stopping, "the sink is stopping: nothing changes any more")
	}
	return nil
}

func methodOf(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

func wrongMethod(w http.ResponseWriter, r *http.Request, methods map[string]*route) *api.Problem {
	var allowed []string
	for m := range methods {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	return problem(api.MethodNotAllowed, "%.16s can't be done here (valid: %s)", r.Method, list)
}

// patient gives a client a time for each write that it has to take, whatever it has to take altogether.
func (s *Server) patient(w http.ResponseWriter) http.ResponseWriter {
	p := &patientWriter{ResponseWriter: w, control: http.NewResponseController(w), wait: s.cfg.writeWait}
	p.extend()
	return p
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	wait    time.Duration
}

func (p *patientWriter) extend() { _ = p.control.SetWriteDeadline(time.Now().Add(p.wait)) } // a connection that can't has none

func (p *patientWriter) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

func (p *patientWriter) WriteHeader(status int) {
	p.extend()
	p.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
