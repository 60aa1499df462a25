package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// Standing is a standing in force.
type Standing struct {
	Reaction string    // its name
	Key      string    // whose it is, see fault.Scope.KeyText
	Level    int       // from 1
	Changed  time.Time // when it began, or its level changed last
	Until    time.Time // the zero time: as long as the sink runs
	Returned bool      // the key came back while it held
}

// StandingQuery says which standings are wanted. Empty values hold for all.
type StandingQuery struct {
	Reaction, Key           string
	AfterReaction, AfterKey string // those behind this one, in the order of List
	Limit                   int    // at most so many; 0: all
}

// UnknownReactionError says that the plan in force has no reaction of that name.
type UnknownReactionError struct {
	Name  string
	Valid []string // the names of those it has
}

// Error names the reaction and those that there are.
func (e *UnknownReactionError) Error() string {
	if len(e.Valid) == 0 {
		return fmt.Sprintf("unknown reaction %.64q (the plan in force has none)", e.Name)
	}
	quoted := make([]string, len(e.Valid))
	for i, v := range e.Valid {
		quoted[i] = fmt.Sprintf("%.64q", v)
	}
	return fmt.Sprintf("unknown reaction %.64q (valid: %s)", e.Name, strings.Join(quoted, " "))
}

// List returns standings in force, in the order of their reactions' names and then of their keys, and whether there are more behind them. It
// looks at all keys, a shard at a time, and needs memory for about twice the limit. The error is an *UnknownReactionError.
func (s *Standings) List(now time.Time, q StandingQuery) (found []Standing, more bool, err error) {
	in := s.layout.Load()
	if q.Reaction != "" {
		if _, _, err := in.reaction(q.Reaction); err != nil {
			return nil, false, err
		}
	}
	first := func() { // keeps those that come first, and one more
		slices.SortFunc(found, compareStandings)
		if q.Limit > 0 && len(found) > q.Limit+1 {
			clear(found[q.Limit+1:])
			found = found[:q.Limit+1]
		}
	}
	for _, t := range in.tables {
		for i := range t.shards {
			found = t.list(&t.shards[i], now.UnixNano(), &q, found)
			if q.Limit > 0 && len(found) > 2*(q.Limit+1) {
				first()
			}
		}
	}
	first()
	if q.Limit > 0 && len(found) > q.Limit {
		return found[:q.Limit], true, nil
	}
	return found, false, nil
}

func compareStandings(a, b Standing) int {
	return cmp.Or(cmp.Compare(a.Reaction, b.Reaction), cmp.Compare(a.Key, b.Key))
}

// list appends the standings of a shard that are asked for.
func (t *standingTable) list(s *standingShard, now int64, q *StandingQuery, found []Standing) []Standing {
	after := Standing{Reaction: q.AfterReaction, Key: q.AfterKey}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		name := s.slots[i].value.name // a free slot has none
		if name == "" || q.Key != "" && q.Key != name {
			continue
		}
		for column, r := range t.reactions {
			x := s.standing(t, int32(i), uint8(column)) // #nosec G115 -- at most standingTable.most, and fault.MaxReactions
			level := x.at(now)
			if level == 0 || q.Reaction != "" && q.Reaction != r.Name {
				continue
			}
			one := Standing{Reaction: r.Name, Key: name, Level: level, Changed: time.Unix(0, x.changed), Until: untilTime(x.until), Returned: x.came}
			if compareStandings(one, after) > 0 {
				found = append(found, one)
			}
		}
	}
	return found
}

// Forgive ends the standing that a key of that name has by a reaction, and forgets what was counted towards it, and returns what that has
// changed: nothing when none was in force. Where a reaction begins at first sight, it begins anew when the key is seen next. Calls must not
// overlap with Use. The error is an *UnknownReactionError.
func (s *Standings) Forgive(now time.Time, reaction, key string) (forgiven []Change, err error) {
	t, column, err := s.layout.Load().reaction(reaction)
	if err != nil {
		return nil, err
	}
	for i := range t.shards {
		forgiven = t.forgive(&t.shards[i], column, key, now.UnixNano(), forgiven)
	}
	return forgiven, nil
}

// forgive is Forgive for the keys of a shard. There may be several of one name: octets that are no text look the same in it.
func (t *standingTable) forgive(s *standingShard, column uint8, key string, now int64, dst []Change) []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if s.slots[i].value.name != key || key == "" {
			continue
		}
		slot := int32(i) // #nosec G115 -- at most standingTable.most
		if x := s.standing(t, slot, column); x.at(now) > 0 {
			from := x.at(now)
			*x = standing{begun: true, changed: x.changed} // so that it counts as one key still
			x.change(0, now)
			s.sort(t, slot, now)
			dst = append(dst, s.change(t, slot, column, from, now, event.StandingForgiven))
		}
	}
	return dst
}

// reaction returns where the standings of a reaction are.
func (in *layout) reaction(name string) (t *standingTable, column uint8, err error) {
	unknown := &UnknownReactionError{Name: name}
	for _, r := range in.plan.Reactions() {
		if r.Name != name {
			unknown.Valid = append(unknown.Valid, r.Name)
			continue
		}
		for _, t := range in.tables {
			if t.of == r.Of {
				return t, t.columns[r.Index], nil
			}
		}
	}
	return nil, 0, unknown
}
