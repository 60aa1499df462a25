package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// statusOf has the status of each kind of problem.
var statusOf = map[string]int{
	api.BadRequest: 400, api.TokenNeeded: 401, api.ForeignHost: 403, api.ForeignOrigin: 403, api.Role: 403, api.NotFound: 404,
	api.MethodNotAllowed: 405, api.WrongState: 409, api.Listeners: 409, api.EventsGone: 410, api.PlanChanged: 412, api.TooLarge: 413,
	api.MediaType: 415, api.InvalidPlan: 422, api.InvalidOutcome: 422, api.InvalidRequest: 422, api.IfMatchNeeded: 428, api.TooMany: 429,
	api.Internal: 500, api.Stopping: 503,
}

// problem returns a problem of that kind.
func problem(slug, format string, args ...any) *api.Problem {
	status := statusOf[slug]
	return &api.Problem{Type: api.URN + slug, Title: http.StatusText(status), Status: status, Detail: printable(fmt.Sprintf(format, args...))}
}

// printable makes of what somebody sent one line that orders no terminal about.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// flawed returns a problem with the document of a request: which key, where, and what would do.
func flawed(slug string, err error) *api.Problem {
	p := problem(slug, "%v", err)
	flaw := api.Flaw{Message: p.Detail}
	var e *plan.Error
	var spec *fault.SpecError
	switch {
	case errors.As(err, &e):
		flaw = api.Flaw{Pointer: pointer(e.Key), Line: e.Line, Column: e.Column, Message: printable(e.Err.Error())}
	case errors.As(err, &spec):
		path := spec.Path
		if path == "next" { // the document itself, which has only one part and maybe no id yet
			path = ""
			p.Detail = printable(spec.Field + ": " + spec.Err.Error())
		}
		flaw = api.Flaw{Pointer: pointer(path) + pointer(spec.Field), Message: printable(spec.Err.Error())}
	}
	if _, valid, ok := strings.Cut(flaw.Message, "(valid: "); ok {
		flaw.Valid = strings.TrimSuffix(valid, ")")
	}
	p.Errors = []api.Flaw{flaw}
	return p
}

// pointer makes of a key such as rules[2].match.recipient a JSON pointer.
func pointer(key string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(key, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	return b.String()
}

// asProblem makes an error of a handler a problem.
func asProblem(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	return problem(api.Internal, "%v", err)
}

// fail answers with a problem.
func fail(w http.ResponseWriter, r *http.Request, p *api.Problem) {
	answered := *p
	answered.Instance = printable(r.URL.Path)
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="smtpsink"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	write(w, p.Status, api.TypeProblem, &answered)
}

// write answers with a document. What can't be written any more has nobody who would read it.
func write(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, mediaType, body = http.StatusInternalServerError, api.TypeProblem, []byte(`{"type":"urn:smtpstorm:problem:internal","title":"Internal Server Error","status":500,"detail":"the answer can't be encoded"}`)
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
