package sink

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/state"
)

// Standing is a standing in force, to which a reaction of the plan has led.
type Standing = state.Standing

// StandingQuery says which standings are wanted.
type StandingQuery = state.StandingQuery

// Standings returns standings in force, in the order of their reactions' names and then of their keys, and whether there are more than the
// query's limit. The error is a *state.UnknownReactionError.
func (s *Server) Standings(q StandingQuery) (found []Standing, more bool, err error) {
	return s.standings.List(s.now(), q)
}

// Forgive ends the standing of a key, as Standings names it, by a reaction of the plan in force, and reports whether there was one. What was
// counted towards it is forgotten. The ledger has a row of it. The error is a *state.UnknownReactionError.
func (s *Server) Forgive(reaction, key string) (bool, error) {
	s.mu.Lock() // while plans are swapped, standings are copied
	defer s.mu.Unlock()
	forgiven, err := s.standings.Forgive(s.now(), reaction, key)
	if s.driver != nil && !s.closed {
		for i := range forgiven {
			c := &forgiven[i]
			s.record(&event.Row{Kind: event.KindStanding, Standing: event.Standing{
				Time: c.Time, React: c.Reaction.Name, Reaction: c.Reaction.ID(), Key: c.Key, Fingerprint: c.Fingerprint,
				From: uint64(c.From), Reason: c.Reason, // #nosec G115 -- a level
			}})
		}
	}
	return len(forgiven) > 0, err
}

// StandingsOver says in one line that the standings of these reactions are over.
func StandingsOver(reactions []string) string {
	quoted := make([]string, len(reactions))
	for i, name := range reactions {
		quoted[i] = strconv.Quote(name)
	}
	what, it := "reaction", "it"
	if len(reactions) > 1 {
		what, it = "reactions", "them"
	}
	return fmt.Sprintf("the standings of %s %s are over: the plan does not have %s any more, or not with the same text", what, strings.Join(quoted, ", "), it)
}
