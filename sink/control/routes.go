package control

import (
	"fmt"
	"net/http"
	"strings"
)

// Access says who may ask for something.
type Access uint8

// The values of Access.
const (
	Public  Access = iota // everybody: it tells nothing of the sink
	Read                  // a token that may read
	Write                 // a token that may change the sink
	Scraped               // as Read; without a token where ServeScraped answers
	Probe                 // everybody, and where ServeScraped answers, too
)

// route is what a method does at a path.
type route struct {
	method, path string // path as http.ServeMux has it
	access       Access
	handle       func(w http.ResponseWriter, r *http.Request) error
}

// ownRoutes is the API: openapi.json has the same, and a test compares.
func (s *Server) ownRoutes() []*route {
	return []*route{
		{"GET", "/v1", Read, s.getInfo},
		{"GET", "/v1/openapi.json", Read, getOpenAPI},
		{"GET", "/v1/plan", Read, s.getPlan},
		{"PUT", "/v1/plan", Write, s.putPlan},
		{"GET", "/v1/plan/check", Read, s.checkPlan},
		{"GET", "/v1/storm", Read, s.getStorm},
		{"POST", "/v1/storm", Write, s.postStorm},
		{"GET", "/v1/next", Read, s.listNext},
		{"POST", "/v1/next", Write, s.postNext},
		{"GET", "/v1/next/{id}", Read, s.getNext},
		{"PUT", "/v1/next/{id}", Write, s.putNext},
		{"DELETE", "/v1/next/{id}", Write, s.deleteNext},
		{"DELETE", "/v1/next", Write, s.clearNext},
		{"GET", "/v1/stats", Read, s.getStats},
		{"GET", "/v1/standings", Read, s.getStandings},
		{"DELETE", "/v1/standings/{react}/{key}", Write, s.deleteStanding},
		{"GET", "/v1/events", Read, s.getEvents},
		{"GET", "/v1/messages", Read, s.listMessages},
		{"GET", "/v1/messages/{id}", Read, s.getMessage},
		{"GET", "/v1/messages/{id}/raw", Read, s.getRaw},
		{"DELETE", "/v1/messages", Write, s.deleteMessages},
		{"POST", "/v1/judge", Read, s.postJudge},
		{"GET", "/v1/ledger", Read, s.getLedger},
		{"POST", "/v1/reset", Write, s.postReset},
		{"POST", "/v1/session", Public, s.postSession},
		{"DELETE", "/v1/session", Public, s.deleteSession},
		{"GET", "/healthz", Probe, getHealth},
		{"GET", "/readyz", Probe, s.getReady},
	}
}

// Handle has what belongs to others answered here, before Serve: pattern is a method and a path as http.ServeMux has them, such as
// "GET /metrics". A pattern that is taken, has no method or lies below /v1 is a mistake in the program, and panics.
func (s *Server) Handle(pattern string, h http.Handler, access Access) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || !strings.HasPrefix(path, "/") || path == "/v1" || strings.HasPrefix(path, "/v1/") {
		panic(fmt.Sprintf("control: pattern %q (want a method and a path outside of /v1)", pattern))
	}
	s.add(&route{method, path, access, func(w http.ResponseWriter, r *http.Request) error { h.ServeHTTP(w, r); return nil }})
}

func (s *Server) add(r *route) {
	methods := s.routes[r.path]
	if methods == nil {
		methods = map[string]*route{}
		s.routes[r.path] = methods
		s.mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
			if err := methods[methodOf(req)].handle(w, req); err != nil {
				fail(w, req, asProblem(err))
			}
		})
	}
	if methods[r.method] != nil {
		panic(fmt.Sprintf("control: %s %s is taken", r.method, r.path))
	}
	methods[r.method] = r
}
