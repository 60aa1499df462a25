package sink

import "github.com/smtpstorm/xk6-smtp/sink/state"

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
// counted towards it is forgotten. The error is a *state.UnknownReactionError.
func (s *Server) Forgive(reaction, key string) (bool, error) {
	s.mu.Lock() // while plans are swapped, standings are copied
	defer s.mu.Unlock()
	return s.standings.Forgive(s.now(), reaction, key)
}
