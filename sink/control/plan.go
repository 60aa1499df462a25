package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// noPlan is the text of a sink that has no plan: it accepts everything, as one without rules does.
var noPlan = []byte("version: 1\n")

// textOf returns the text of the plan in force.
func textOf(p *sink.PlanState) ([]byte, error) {
	switch {
	case p.Text != nil:
		return p.Text, nil
	case p.Planned:
		return nil, problem(api.NotFound, "the sink was given its plan without the text: there is none to show")
	}
	return noPlan, nil
}

// etag identifies the text of a plan, in whatever form it is sent.
func etag(text []byte) string {
	sum := sha256.Sum256(text)
	return `"sha256:` + hex.EncodeToString(sum[:]) + `"`
}

func (s *Server) getPlan(w http.ResponseWriter, r *http.Request) error {
	inForce := s.cfg.Sink.PlanInForce()
	text, err := textOf(&inForce)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", etag(text))
	h.Set(api.HeaderGeneration, strconv.FormatUint(inForce.Generation, 10))
	h.Set("Vary", "Accept")
	if wants(r, api.TypeYAML) {
		h.Set("Content-Type", api.TypeYAML)
		_, err := w.Write(text)
		return ended(err)
	}
	document, err := plan.JSON(text)
	if err != nil {
		return problem(api.Internal, "%v (Accept: %s gets it as it was written)", err, api.TypeYAML)
	}
	write(w, http.StatusOK, api.TypeJSON, document)
	return nil
}

// ended is the error of a client that has left: nobody is there to tell.
func ended(error) error { return nil }

// wants reports whether the request asks for a media type by its name.
func wants(r *http.Request, mediaType string) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) {
				return true
			}
		}
	}
	return false
}

func (s *Server) putPlan(w http.ResponseWriter, r *http.Request) error {
	dry, err := boolQuery(r, "dry-run")
	if err != nil {
		return err
	}
	match := r.Header.Get("If-Match")
	if match == "" {
		return problem(api.IfMatchNeeded, "If-Match is needed: the ETag of GET /v1/plan, or * for whichever plan is in force")
	}
	text, _, err := s.readBody(w, r, api.TypeJSON, api.TypeYAML)
	if err != nil {
		return err
	}
	file, err := plan.Parse("plan", text)
	if err != nil {
		return flawed(api.InvalidPlan, err)
	}
	if _, err := plan.JSON(text); err != nil { // it could not be shown again
		return flawed(api.InvalidPlan, err)
	}
	change := sink.PlanChange{Plan: file.Plan, Hash: file.SHA256, Text: text, KeepListeners: s.cfg.KeepPorts, DryRun: dry}
	if match != "*" {
		inForce := s.cfg.Sink.PlanInForce()
		if now, err := textOf(&inForce); err != nil || !matches(match, etag(now)) {
			return planChanged()
		}
		change.Generation = inForce.Generation
	}
	done, err := s.cfg.Sink.Replace(change)
	var os syscall.Errno
	switch {
	case errors.Is(err, sink.ErrPlanChanged):
		return planChanged()
	case errors.Is(err, sink.ErrListeners):
		return problem(api.Listeners, "%s (a plan that comes by the API may not open or close listeners, unless the sink has --control-listeners)", said(err))
	case errors.As(err, &os):
		return problem(api.Listeners, "%s", said(err))
	case err != nil:
		return flawed(api.InvalidPlan, errors.New(said(err)))
	}
	out := api.PlanChange{
		Generation: done.Generation, ETag: etag(text), DryRun: dry, Warnings: s.warnings(file, &done), LimitsKept: list(done.LimitsKept), StandingsKept: list(done.StandingsKept),
		Opened: namesOf(done.Opened), Closed: namesOf(done.Closed), StormRestarts: done.StormRestarts,
	}
	if !dry {
		s.cfg.Say(fmt.Sprintf("plan %q is in force, by the control API (generation %d)", file.Plan.Name(), done.Generation))
		for _, l := range done.Opened {
			if open := OpenToTheWorld(&l); open != "" {
				s.cfg.Warn(open)
			}
		}
	}
	w.Header().Set("ETag", out.ETag)
	w.Header().Set(api.HeaderGeneration, strconv.FormatUint(out.Generation, 10))
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

func planChanged() error {
	return problem(api.PlanChanged, "another plan is in force than If-Match names (GET /v1/plan says which)")
}

// matches reports whether a list of entity tags has one, compared strongly (RFC 9110 section 13.1.1).
func matches(tags, tag string) bool {
	for part := range strings.SplitSeq(tags, ",") {
		if strings.TrimSpace(part) == tag {
			return true
		}
	}
	return false
}

// said words an error of the sink.
func said(err error) string { return strings.TrimPrefix(err.Error(), "sink: ") }

func list(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func namesOf(listeners []sink.Listener) []string {
	names := []string{}
	for _, l := range listeners {
		if l.Name == "" {
			l.Name = l.Address
		}
		names = append(names, l.Name)
	}
	return names
}

// warnings says what looks like a mistake in a plan, and which doors it opens.
func (s *Server) warnings(file *plan.File, done *sink.Replaced) []string {
	warnings := append([]string{}, plan.NewExplanation(file, plan.Serving{}).Warnings...)
	for _, l := range done.Opened {
		if open := OpenToTheWorld(&l); open != "" {
			warnings = append(warnings, open)
		}
	}
	if len(done.StandingsOver) > 0 {
		warnings = append(warnings, sink.StandingsOver(done.StandingsOver))
	}
	if late := s.cfg.Sink.Late(); late != "" {
		warnings = append(warnings, late)
	}
	return warnings
}

// OpenToTheWorld warns of a listener that other machines can reach; empty for one that they can't.
func OpenToTheWorld(l *sink.Listener) string {
	if l.Local() {
		return ""
	}
	return fmt.Sprintf("other machines can reach listener %s (%s)", namesOf([]sink.Listener{*l})[0], l.Address)
}

func (s *Server) checkPlan(w http.ResponseWriter, _ *http.Request) error {
	inForce := s.cfg.Sink.PlanInForce()
	text, err := textOf(&inForce)
	if err != nil {
		return err
	}
	file, err := plan.Parse("plan", text)
	if err != nil {
		return err
	}
	e := plan.NewExplanation(file, plan.Serving{})
	e.Replay, e.Warnings, e.Keeps = list(e.Replay), list(e.Warnings), list(e.Keeps)
	write(w, http.StatusOK, api.TypeJSON, e)
	return nil
}
