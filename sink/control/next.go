package control

import (
	"errors"
	"net/http"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

func nextOf(n *sink.NextStatus) (api.NextStatus, error) {
	match, err := plan.MatchJSON(&n.Match)
	if err != nil {
		return api.NextStatus{}, err
	}
	outcome, err := plan.OutcomeJSON(&n.Outcome)
	return api.NextStatus{ID: n.ID, Stage: n.Stage.String(), Match: match, Outcome: outcome, Remaining: n.Remaining, Hits: n.Hits, Expires: n.Expires.UTC()}, err
}

func (s *Server) listNext(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	out := api.NextList{Next: []api.NextStatus{}}
	all := s.cfg.Sink.NextOutcomes()
	for i := range all {
		n, err := nextOf(&all[i])
		if err != nil {
			return err
		}
		out.Next = append(out.Next, n)
	}
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

func (s *Server) getNext(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	all := s.cfg.Sink.NextOutcomes()
	for i := range all {
		if all[i].ID == id {
			n, err := nextOf(&all[i])
			if err == nil {
				write(w, http.StatusOK, api.TypeJSON, n)
			}
			return err
		}
	}
	return noNext(id)
}

func noNext(id string) error {
	return problem(api.NotFound, "there is no outcome with the id %.64q: it was never asked for, was taken back, or has expired", id)
}

func (s *Server) postNext(w http.ResponseWriter, r *http.Request) error {
	n, err := s.readNext(w, r)
	if err != nil {
		return err
	}
	status, err := s.addNext(sink.NextOutcome{NextSpec: n.NextSpec, TTL: n.TTL})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/next/"+status.ID)
	write(w, http.StatusCreated, api.TypeJSON, status)
	return nil
}

func (s *Server) putNext(w http.ResponseWriter, r *http.Request) error {
	n, err := s.readNext(w, r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if n.ID != "" && n.ID != id {
		return flawedAt("/id", errors.New("the document's id is not that of the path"))
	}
	n.ID = id
	status, err := s.addNext(sink.NextOutcome{NextSpec: n.NextSpec, TTL: n.TTL, Replace: true})
	if err != nil {
		return err
	}
	write(w, http.StatusOK, api.TypeJSON, status)
	return nil
}

func (s *Server) readNext(w http.ResponseWriter, r *http.Request) (plan.Next, error) {
	text, _, err := s.readBody(w, r, api.TypeJSON)
	if err != nil {
		return plan.Next{}, err
	}
	n, err := plan.ParseNext("body", text)
	if err != nil {
		return plan.Next{}, flawed(api.InvalidOutcome, err)
	}
	return n, nil
}

func (s *Server) addNext(n sink.NextOutcome) (api.NextStatus, error) {
	status, err := s.cfg.Sink.AddNext(n)
	var spec *fault.SpecError
	switch {
	case errors.Is(err, state.ErrNextTaken):
		return api.NextStatus{}, problem(api.WrongState, "%s (PUT /v1/next/{id} replaces it)", said(err))
	case errors.Is(err, state.ErrNextFull):
		return api.NextStatus{}, problem(api.TooMany, "%s", said(err))
	case errors.As(err, &spec):
		return api.NextStatus{}, flawed(api.InvalidOutcome, err)
	case err != nil:
		return api.NextStatus{}, err
	}
	return nextOf(&status)
}

func (s *Server) deleteNext(w http.ResponseWriter, r *http.Request) error {
	if id := r.PathValue("id"); !s.cfg.Sink.RemoveNext(id) {
		return noNext(id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) clearNext(w http.ResponseWriter, r *http.Request) error {
	if err := query(r); err != nil {
		return err
	}
	for _, n := range s.cfg.Sink.NextOutcomes() {
		s.cfg.Sink.RemoveNext(n.ID)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
