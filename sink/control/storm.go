package control

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// stormOf returns where a storm is, and all its phases when they are wanted.
func stormOf(at *sink.StormState, phases bool) api.Storm {
	out := api.Storm{State: string(at.Status), Generation: at.Generation}
	switch at.Status {
	case sink.StormRunning:
		elapsed, remaining := at.Elapsed.Seconds(), at.Remaining.Seconds()
		out.Phase, out.Index, out.Round, out.Elapsed, out.Remaining = at.Phase, &at.Index, at.Round, &elapsed, &remaining
	case sink.StormWaiting:
		if at.Remaining > 0 {
			remaining := at.Remaining.Seconds()
			out.Remaining = &remaining
		}
	}
	if phases {
		out.Phases = make([]api.Phase, 0, at.Count)
		for i := range at.Count {
			span := at.Timeline.Span(i)
			out.Phases = append(out.Phases, api.Phase{Name: span.Phase.Name, Begin: span.Begin.Seconds(), Duration: (span.End - span.Begin).Seconds()})
		}
	}
	return out
}

func (s *Server) getStorm(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	at := s.cfg.Sink.Storm()
	write(w, http.StatusOK, api.TypeJSON, stormOf(&at, true))
	return nil
}

func (s *Server) postStorm(w http.ResponseWriter, r *http.Request) error {
	move, err := s.readMove(w, r)
	if err != nil {
		return err
	}
	at, err := s.cfg.Sink.MoveStorm(move)
	switch {
	case errors.Is(err, sink.ErrPlanChanged):
		return problem(api.WrongState, "another plan is in force: generation %d", at.Generation)
	case errors.Is(err, sink.ErrStormState):
		return problem(api.WrongState, "%s", said(err))
	case err != nil:
		return flawedAt("", errors.New(said(err)))
	}
	write(w, http.StatusOK, api.TypeJSON, stormOf(&at, true))
	return nil
}

// readMove reads a move, each of which has members of its own: one that would not count is an error.
func (s *Server) readMove(w http.ResponseWriter, r *http.Request) (move sink.StormMove, err error) {
	var in api.StormMove
	members := map[string]any{"action": &in.Action, "phase": &in.Phase, "index": &in.Index, "by": &in.By, "generation": &in.Generation}
	if err := s.readJSON(w, r, members, "action"); err != nil {
		return move, err
	}
	move = sink.StormMove{Action: sink.StormAction(in.Action), Phase: in.Phase}
	jump, extend := move.Action == sink.StormJump, move.Action == sink.StormExtend
	switch {
	case jump && in.Phase == "" && in.Index == nil:
		return move, flawedAt("", errors.New("a jump wants a phase, or the index of an occurrence"))
	case jump && in.Phase != "" && in.Index != nil:
		return move, flawedAt("/index", errors.New("a jump takes a phase or an index, not both"))
	case !jump && (in.Phase != "" || in.Index != nil):
		return move, flawedAt("", fmt.Errorf("phase and index go with jump only, not with %.64q", in.Action))
	case extend && in.By == "":
		return move, flawedAt("", errors.New("an extension wants by, a duration such as 30s"))
	case !extend && in.By != "":
		return move, flawedAt("/by", fmt.Errorf("by goes with extend only, not with %.64q", in.Action))
	case in.Generation != nil && *in.Generation == 0:
		return move, flawedAt("/generation", errors.New("generations begin at 1 (leave it out for whichever plan is in force)"))
	}
	if in.Index != nil {
		move.Index = *in.Index
	}
	if in.Generation != nil {
		move.Generation = *in.Generation
	}
	if in.By != "" {
		if move.By, err = time.ParseDuration(in.By); err != nil {
			return move, flawedAt("/by", fmt.Errorf("invalid duration %.64q (want for example 30s or 5m)", in.By))
		}
	}
	return move, nil
}

// flawedAt returns a problem with what a JSON pointer leads to in a document; the empty one leads to all of it.
func flawedAt(pointer string, err error) error {
	p := flawed(api.InvalidRequest, err)
	p.Errors[0].Pointer = pointer
	return p
}
