package control

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// standingsPage is how many standings GET /v1/standings gives at once.
const standingsPage = 1000

func (s *Server) getStandings(w http.ResponseWriter, r *http.Request) error {
	if err := query(r, "react", "key", "after"); err != nil {
		return err
	}
	values := r.URL.Query()
	q := sink.StandingQuery{Reaction: values.Get("react"), Key: values.Get("key"), Limit: standingsPage}
	if values.Has("after") {
		var ok bool
		if q.AfterReaction, q.AfterKey, ok = standingAt(values.Get("after")); !ok {
			return badQuery("after: invalid value %.64q (want next of an answer before: REACT/KEY, each as in the path of DELETE)", values.Get("after"))
		}
	}
	found, more, err := s.cfg.Sink.Standings(q)
	if err != nil {
		return noReaction(err)
	}
	out := api.Standings{Standings: []api.Standing{}}
	for i := range found {
		x := &found[i]
		one := api.Standing{React: x.Reaction, Key: x.Key, Level: x.Level, Changed: x.Changed.UTC(), Returned: x.Returned}
		if !x.Until.IsZero() {
			until := x.Until.UTC()
			one.Until = &until
		}
		out.Standings = append(out.Standings, one)
	}
	if more {
		last := &found[len(found)-1]
		out.Next = url.PathEscape(last.Reaction) + "/" + url.PathEscape(last.Key)
	}
	write(w, http.StatusOK, api.TypeJSON, out)
	return nil
}

// standingAt reads the name of a standing: the end of its path.
func standingAt(text string) (react, key string, ok bool) {
	react, key, ok = strings.Cut(text, "/")
	react, err := url.PathUnescape(react)
	key, failed := url.PathUnescape(key)
	return react, key, ok && react != "" && err == nil && failed == nil
}

func (s *Server) deleteStanding(w http.ResponseWriter, r *http.Request) error {
	react, key := r.PathValue("react"), r.PathValue("key")
	forgiven, err := s.cfg.Sink.Forgive(react, key)
	switch {
	case err != nil:
		return noReaction(err)
	case !forgiven:
		return problem(api.NotFound, "no standing of reaction %.64q is in force for the key %.128q (GET /v1/standings lists them)", react, key)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func noReaction(err error) error {
	var unknown *state.UnknownReactionError
	if errors.As(err, &unknown) {
		return problem(api.NotFound, "%v", unknown)
	}
	return err
}
