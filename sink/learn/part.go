package learn

import (
	"cmp"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/fit"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// group tells the outcomes of a destination apart. One that is too rare loses its text; if it is still too rare it counts as the most usual one
// of its stage and class: no share is lost.
func (d *Destination) group(l *Log, m *Model) {
	counts := map[uint32]int{}
	for i := range d.own {
		counts[d.own[i].outcome]++
	}
	var places []uint32
	for place := range counts {
		places = append(places, place)
	}
	slices.SortFunc(places, func(a, b uint32) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })

	d.kinds, d.kindOf = []outcome{{stage: smtp.StageMessage, told: true, code: 250}}, map[uint32]int{}
	byText, byClass := map[outcome]int{}, map[class]int{}
	add := func(o outcome) int {
		kind := len(d.kinds)
		d.kinds = append(d.kinds, o)
		if _, known := byText[o.bare()]; !known {
			byText[o.bare()] = kind
		}
		if _, known := byClass[o.class(m)]; !known {
			byClass[o.class(m)] = kind
		}
		return kind
	}
	bare, classes := map[outcome]int{}, map[class]int{}
	for _, place := range places {
		o := l.outcomes.values[place]
		if o.success() {
			d.kindOf[place] = 0
			continue
		}
		bare[o.bare()] += counts[place]
		classes[o.class(m)] += counts[place]
	}
	for _, place := range places { // the most usual first
		if _, done := d.kindOf[place]; !done && counts[place] >= m.MinCount && len(d.kinds) < maxKinds {
			d.kindOf[place] = add(l.outcomes.values[place])
		}
	}
	for _, place := range places {
		o := l.outcomes.values[place]
		if _, done := d.kindOf[place]; done {
			continue
		}
		d.Merged += counts[place]
		kind, known := byText[o.bare()]
		if !known && bare[o.bare()] >= m.MinCount && len(d.kinds) < maxKinds {
			kind, known = add(o.bare()), true
		}
		if !known {
			kind, known = byClass[o.class(m)]
		}
		if !known { // the first of its class: the most usual one
			if classes[o.class(m)] == counts[place] {
				d.Merged -= counts[place] // and the only one
				kind = add(o)
			} else {
				kind = add(o.bare())
			}
		}
		d.kindOf[place] = kind
	}
}

// maxKinds bounds how many outcomes of a destination are told apart, but for one more of each class.
const maxKinds = 24

// bare is an outcome without its text.
func (o outcome) bare() outcome {
	o.text = ""
	return o
}

// class is what outcomes that are too rare have in common.
type class struct {
	stage smtp.Stage
	digit uint8 // 4 or 5 of a reply; 0: there was none
}

func (o *outcome) class(m *Model) class { return class{m.place(o), o.code.Class()} }

// place is the stage at which the plan says what the log tells of a stage. Before RCPT nobody knows the destination, unless it has a listener of its
// own.
func (m *Model) place(o *outcome) smtp.Stage {
	if m.Listen == "" && o.stage < smtp.StageRcpt {
		return smtp.StageRcpt
	}
	return o.stage
}

// stages are those of a plan, in the order in which they come.
var stages = [...]smtp.Stage{smtp.StageConnect, smtp.StageEhlo, smtp.StageStartTLS, smtp.StageAuth, smtp.StageMail, smtp.StageRcpt, smtp.StageData, smtp.StageMessage}

// fill counts what a destination said, phase by phase.
func (d *Destination) fill(m *Model) {
	parts := 1
	if !d.constant {
		parts = len(m.Phases)
	}
	own := make([][]attempt, parts)
	for i := range d.own {
		p := 0
		if !d.constant {
			p = m.phaseOf(d.own[i].at)
		}
		own[p] = append(own[p], d.own[i])
	}
	if !d.constant { // what is no change of this destination is alike before and after
		from := 0
		for p := 1; p <= parts; p++ {
			if p < parts {
				if _, changed := d.gains[m.bin(m.Phases[p].From.UnixMilli())]; !changed {
					continue
				}
			}
			whole := slices.Concat(own[from:p]...)
			for i := from; i < p; i++ {
				own[i] = whole
			}
			from = p
		}
	}
	for p := range parts {
		if p > 0 && len(own[p]) > 0 && len(own[p-1]) > 0 && &own[p][0] == &own[p-1][0] {
			d.Parts = append(d.Parts, d.Parts[p-1])
			continue
		}
		d.Parts = append(d.Parts, d.part(own[p], m))
	}
}

// ordinals is how many ordinals of attempts are told apart; the last stands for all later ones.
const ordinals = 16

func (d *Destination) part(own []attempt, m *Model) *Part {
	p := &Part{Attempts: len(own)}
	var took []int32
	bins := make([]table, ordinals)
	for i := range bins {
		bins[i] = table{make([]int, len(d.kinds))}
	}
	before := map[uint64]int{}
	var first []attempt
	for i := range own {
		a := &own[i]
		kind := d.kindOf[a.outcome]
		if kind == 0 && a.took >= 0 {
			took = append(took, a.took)
		}
		bins[min(int(a.n), ordinals)-1][0][kind]++
		was, again := before[a.pair]
		if !again {
			first = append(first, *a)
		}
		if again && was > 0 {
			p.Of++
			if was == kind {
				p.Stay++
			}
		}
		before[a.pair] = kind
	}
	p.Took = newDelays(took)
	cuts := newSeries(bins).cuts(m.MinCount)
	if len(cuts) > 0 && p.Of >= m.MinCount && bounds(p.Stay, p.Of).Lo > stays {
		p.Sticky = true
		own, cuts = first, nil
	}
	for _, stage := range stages {
		if stage < smtp.StageRcpt {
			p.add(d, m, own, stage, 0, 0)
		}
	}
	from := 1
	for i := 0; i <= len(cuts); i++ {
		last := 0
		if i < len(cuts) {
			last = cuts[i].bin
		}
		ranged := slices.DeleteFunc(slices.Clone(own), func(a attempt) bool { return int(a.n) < from || last > 0 && int(a.n) > last })
		if len(cuts) == 0 {
			ranged = own
		}
		for _, stage := range stages {
			if stage >= smtp.StageRcpt {
				p.add(d, m, ranged, stage, from, last)
			}
		}
		from = last + 1
	}
	return p
}

// bounds is where a share lies of which k of n were seen.
func bounds(k, n int) fit.Interval {
	return fit.ClopperPearson(uint64(k), uint64(n), fit.Confidence) // #nosec G115 -- counts are not negative
}

// stays is how often what was refused must be refused again to be called sticky.
const stays = 0.9

// add counts what was said at a stage, if anything but yes was.
func (p *Part) add(d *Destination, m *Model, own []attempt, stage smtp.Stage, first, last int) {
	t := Table{Stage: stage, First: first, Last: last}
	counts, took := make([]int, len(d.kinds)), make([][]int32, len(d.kinds))
	for i := range own {
		kind := d.kindOf[own[i].outcome]
		switch at := m.place(&d.kinds[kind]); {
		case kind == 0 || order(at) > order(stage):
			t.Passed++
		case at == stage:
			counts[kind]++
			if own[i].took >= 0 {
				took[kind] = append(took[kind], own[i].took)
			}
		}
	}
	for kind, n := range counts {
		if n > 0 {
			t.Cells = append(t.Cells, Cell{d.kinds[kind], n, newDelays(took[kind])})
		}
	}
	slices.SortStableFunc(t.Cells, func(a, b Cell) int { return cmp.Compare(b.Count, a.Count) })
	if len(t.Cells) > 0 || stage == smtp.StageMessage {
		p.Tables = append(p.Tables, t)
	}
}

func order(s smtp.Stage) int { return slices.Index(stages[:], s) }
