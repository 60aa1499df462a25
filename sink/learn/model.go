package learn

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Options say what a plan is made of.
type Options struct {
	MinCount     int     // attempts that a destination, a reply or a change must have to be in the plan
	Destinations int     // at most so many, those with the most attempts; the others are one
	Phases       int     // at most so many
	Scale        float64 // phases are so many times shorter than what they copy
	Listen       string  // host:port of the first destination's own listener, the others' have the next ports; empty: all are met on one
}

// ErrNothing says that a log tells of no attempt that a plan could be learned from.
var ErrNothing = errors.New("no attempt to deliver to another host is told of")

// Model is what was learned.
type Model struct {
	Options
	Tally        Tally
	First, Last  time.Time // attempts
	Step         time.Duration
	Phases       []Phase // none: nothing changes with time
	Destinations []*Destination
}

// Phase is a part of the time in which nothing changes.
type Phase struct {
	From   time.Time
	Length time.Duration // in the log
	Outage []string      // destinations that hardly took anything
}

// Destination is those with one domain, or all others.
type Destination struct {
	Domain     string // empty: the others
	Domains    int    // how many these are
	Attempts   int
	Pairs      int     // distinct (sender, recipient)
	Merged     int     // attempts whose replies were too rare to be told apart
	Connecting Delays  // over all new connections
	Parts      []*Part // one for each phase, or one for all
	gains      map[int]float64

	own      []attempt
	kinds    []outcome // what is told apart; the first is success
	kindOf   map[uint32]int
	slow     int32 // milliseconds from which a success counts as slow when changes are looked for
	constant bool
}

// Part is how a destination was for a time.
type Part struct {
	Attempts int
	Sticky   bool // who was refused is refused again: the tables are of first attempts
	Stay, Of int  // so many attempts after a failure ended as that one, of so many
	Tables   []Table
	Took     Delays // of deliveries
}

// Table is what was said at a stage.
type Table struct {
	Stage       smtp.Stage
	First, Last int // attempts of a (sender, recipient) pair; Last is 0 for all later ones, and First, too, where the stage knows no attempt
	Passed      int // attempts that got beyond it
	Cells       []Cell
}

// Cell is one reply, or failure, of a table.
type Cell struct {
	outcome
	Count int
	Took  Delays
}

// Model learns from what was gathered.
func (l *Log) Model(o Options) (*Model, error) {
	if len(l.attempts) == 0 {
		return nil, ErrNothing
	}
	slices.SortStableFunc(l.attempts, func(a, b attempt) int { return cmp.Compare(a.at, b.at) })
	m := &Model{Options: o, Tally: l.Tally, First: time.UnixMilli(l.attempts[0].at).UTC(), Last: time.UnixMilli(l.attempts[len(l.attempts)-1].at).UTC()}
	m.Step = step(m.Last.Sub(m.First))
	l.number()
	m.choose(l)
	for _, d := range m.Destinations {
		d.learn(l, m)
	}
	m.phase()
	for _, d := range m.Destinations {
		d.fill(m)
		d.own, d.kindOf = nil, nil
	}
	m.nameOutages()
	return m, nil
}

// number counts the attempts of each pair.
func (l *Log) number() {
	seen := make(map[uint64]int32)
	for i := range l.attempts {
		a := &l.attempts[i]
		seen[a.pair]++
		a.n = seen[a.pair]
	}
}

// maxBins bounds the bins of time.
const maxBins = 300

// step is how long a bin of time is: the shortest usual duration of which maxBins are enough.
func step(span time.Duration) time.Duration {
	for _, d := range [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		if span/d < maxBins {
			return d
		}
	}
	return (span/(maxBins-1) + time.Hour).Truncate(time.Hour)
}

// origin is when the first bin begins.
func (m *Model) origin() time.Time { return m.First.Truncate(m.Step) }

func (m *Model) bin(at int64) int {
	return int(time.UnixMilli(at).Sub(m.origin()) / m.Step)
}

// choose parts the attempts by destination.
func (m *Model) choose(l *Log) {
	counts := make([]int, len(l.domains.values))
	for i := range l.attempts {
		counts[l.attempts[i].domain]++
	}
	order := make([]uint32, len(counts))
	for i := range order {
		order[i] = uint32(i) // #nosec G115 -- a place in an index
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(l.domains.values[a], l.domains.values[b]))
	})
	others := &Destination{}
	of := make([]*Destination, len(counts))
	for _, place := range order {
		if domain := l.domains.values[place]; len(m.Destinations) < m.Options.Destinations && counts[place] >= m.MinCount && isDomain(domain) {
			of[place] = &Destination{Domain: domain, Domains: 1}
			m.Destinations = append(m.Destinations, of[place])
			continue
		}
		of[place] = others
		others.Domains++
	}
	if others.Domains > 0 {
		m.Destinations = append(m.Destinations, others)
	}
	for i := range l.attempts {
		d := of[l.attempts[i].domain]
		d.Attempts++
		d.own = append(d.own, l.attempts[i])
	}
}

// isDomain reports whether a plan can match a domain by its name.
func isDomain(domain string) bool {
	return all(domain, func(c byte) bool { return wordly(c) || c == '-' || c == '.' || c == '_' }) && !strings.HasPrefix(domain, ".")
}

// learn tells the replies of a destination apart, and finds when it changed.
func (d *Destination) learn(l *Log, m *Model) {
	d.group(l, m)
	var new, slow []int32
	for i := range d.own {
		a := &d.own[i]
		if a.n == 1 {
			d.Pairs++
		}
		if a.connecting > 0 {
			new = append(new, a.connecting)
		}
		if d.kindOf[a.outcome] == 0 && a.took >= 0 {
			slow = append(slow, a.took)
		}
	}
	d.Connecting = newDelays(new)
	if took := newDelays(slow); len(took) > 0 {
		d.slow = int32(4*took.at(50)/time.Millisecond) + 100 // #nosec G115 -- at most four days
	}
	d.gains = map[int]float64{}
	for _, c := range newSeries(d.times(m)).cuts(m.MinCount) {
		d.gains[c.bin] = c.gain
	}
}

// attemptRows are how many ordinals of attempts are told apart when changes with time are looked for: first attempts, second ones, later ones.
const attemptRows = 3

// times counts what happened in each bin of time. A pair counts once in a bin for what it met: what is tried again and again says little
// more.
func (d *Destination) times(m *Model) []table {
	last := 0
	for i := range d.own {
		last = max(last, m.bin(d.own[i].at))
	}
	bins := make([]table, last+1)
	for i := range bins {
		bins[i] = make(table, attemptRows)
		for r := range bins[i] {
			bins[i][r] = make([]int, len(d.kinds)+1) // the last is slow successes
		}
	}
	type met struct {
		pair uint64
		kind int
	}
	seen := make(map[met]int)
	for i := range d.own {
		a := &d.own[i]
		kind, bin := d.kindOf[a.outcome], m.bin(a.at)
		if kind == 0 && d.slow > 0 && a.took > d.slow {
			kind = len(d.kinds)
		}
		if at, before := seen[met{a.pair, kind}]; before && at == bin {
			continue
		}
		seen[met{a.pair, kind}] = bin
		bins[bin][min(int(a.n), attemptRows)-1][kind]++
	}
	return bins
}

// phase makes phases of the changes of all destinations: of changes in neighbouring bins the greatest, and no more than were asked for.
func (m *Model) phase() {
	gains := map[int]float64{}
	for _, d := range m.Destinations {
		for bin, gain := range d.gains {
			gains[bin] = max(gains[bin], gain)
		}
	}
	var bins []int
	for bin := range gains {
		bins = append(bins, bin)
	}
	slices.SortFunc(bins, func(a, b int) int { return cmp.Or(cmp.Compare(gains[b], gains[a]), cmp.Compare(a, b)) })
	var kept []int
	for _, bin := range bins {
		if len(kept) < m.Options.Phases-1 && !slices.ContainsFunc(kept, func(k int) bool { return k-1 <= bin && bin <= k+1 }) {
			kept = append(kept, bin)
		}
	}
	slices.Sort(kept)
	if len(kept) > 0 {
		kept = append([]int{0}, kept...)
		for i, bin := range kept {
			from := m.origin().Add(time.Duration(bin) * m.Step)
			end := m.Last.Truncate(time.Second).Add(time.Second)
			if i+1 < len(kept) {
				end = m.origin().Add(time.Duration(kept[i+1]) * m.Step)
			}
			m.Phases = append(m.Phases, Phase{From: from, Length: end.Sub(from)})
		}
	}
	// A destination's own changes are those that became phases; one of a neighbouring bin stands for it.
	for _, d := range m.Destinations {
		mine := map[int]float64{}
		for bin, gain := range d.gains {
			for _, k := range kept {
				if k > 0 && k-1 <= bin && bin <= k+1 {
					mine[k] = max(mine[k], gain)
				}
			}
		}
		d.gains, d.constant = mine, len(mine) == 0
	}
}

// phaseOf is the number of a time's phase.
func (m *Model) phaseOf(at int64) int {
	when := time.UnixMilli(at)
	n := 0
	for i := range m.Phases {
		if !when.Before(m.Phases[i].From) {
			n = i
		}
	}
	return n
}

// nameOutages finds the phases in which a destination failed for the time being in nine of ten attempts.
func (m *Model) nameOutages() {
	for _, d := range m.Destinations {
		if d.constant || d.Domain == "" {
			continue
		}
		for i, p := range d.Parts {
			failed, all := 0, 0
			for k := range p.Tables {
				t := &p.Tables[k]
				for c := range t.Cells {
					if t.Cells[c].code.Class() != 5 {
						failed += t.Cells[c].Count
					}
					all += t.Cells[c].Count
				}
				if t.Stage == smtp.StageMessage {
					all += t.Passed
				}
			}
			if all >= m.MinCount && failed*10 >= all*9 {
				m.Phases[i].Outage = append(m.Phases[i].Outage, d.Domain)
			}
		}
	}
}
