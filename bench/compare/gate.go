package compare

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Criterion is one condition of --fail-on: that B is worse than A by more than a limit.
type Criterion struct {
	Text    string
	Measure Measure
	// Sign is +1 if more is worse ('>'), -1 if less is ('<').
	Sign int
	// Limit is what is exceeded: a ratio less 1 (Relative), milliseconds, or a difference of shares. It has the sign with which it was written.
	Limit    float64
	Relative bool
}

// State of a criterion.
type State string

// The states.
const (
	Worse  State = "worse"  // proved to exceed the limit
	Inside State = "within" // proved to lie within it
	Open   State = "undecided"
)

// Gate is a criterion, decided on the interval.
type Gate struct {
	Criterion Criterion `json:"-"`
	Text      string    `json:"criterion"`
	State     State     `json:"state"`
	// Estimate, Lo and Hi are of what the limit is held against: a ratio less 1, milliseconds, or a difference of shares. Nil: see Why.
	Estimate *float64 `json:"estimate,omitempty"`
	Lo       *float64 `json:"lo,omitempty"`
	Hi       *float64 `json:"hi,omitempty"`
	Level    float64  `json:"level,omitempty"`
	Why      string   `json:"why,omitempty"`
}

var criterion = regexp.MustCompile(`^(p50|p90|p95|p99|p99\.9|mean|share)\(([a-z0-9_]+)(?:,\s*(accepted|deferred|bounced))?\)\s*([<>])\s*([+-]?[0-9]+(?:\.[0-9]+)?)\s*(%|ms|s|points?)$`)

// ParseCriterion reads a condition such as p99(msg_duration)>+10%, p50(msg_waiting,deferred)>+5ms or share(failed)>+1point. The error says what would be one.
func ParseCriterion(text string) (Criterion, error) {
	c := Criterion{Text: strings.TrimSpace(text)}
	m := criterion.FindStringSubmatch(c.Text)
	if m == nil {
		return c, fmt.Errorf("%q: want STATISTIC(METRIC)>LIMIT such as 'p99(msg_duration)>+10%%', 'mean(msg_waiting,deferred)>+5ms' or 'share(failed)>+1point' (statistics: p50 p90 p95 p99 p99.9 mean share)", text)
	}
	limit, err := strconv.ParseFloat(m[5], 64)
	if err != nil || math.IsInf(limit, 0) {
		return c, fmt.Errorf("%q: %s is no limit", text, m[5])
	}
	c.Sign, c.Limit = 1, limit
	if m[4] == "<" {
		c.Sign = -1
	}
	unit := m[6]
	if m[1] == "share" {
		c.Measure.Share = Share(m[2])
		if !slices.Contains([]Share{ShareFailed, ShareDeferred, ShareBounced, ShareUnanswered}, c.Measure.Share) {
			return c, fmt.Errorf("%q: unknown share %q (valid: failed deferred bounced unanswered)", text, m[2])
		}
		if !strings.HasPrefix(unit, "point") || m[3] != "" {
			return c, fmt.Errorf("%q: a share has a limit in points: share(%s)>+1point", text, m[2])
		}
		c.Limit /= 100
		return c, nil
	}
	for _, s := range []Statistic{P50, P90, P95, P99, P999, Mean} {
		if s.name == m[1] {
			c.Measure.Statistic = s
		}
	}
	metric := m[2]
	if strings.HasPrefix(metric, "msg_") || strings.HasPrefix(metric, "conn_") || strings.HasPrefix(metric, "delivery_") {
		metric = "smtp_" + metric
	}
	c.Measure.Key = Key{metric, Outcome(m[3])}
	if m[3] == "" && strings.HasPrefix(metric, "smtp_msg_") {
		c.Measure.Key.Outcome = Accepted
	}
	switch unit {
	case "%":
		c.Relative, c.Limit = true, limit/100
		if c.Limit <= -1 {
			return c, fmt.Errorf("%q: %g%% less than A is nothing", text, -limit)
		}
	case "s":
		c.Limit *= 1000
	case "ms":
	default:
		return c, fmt.Errorf("%q: a latency has a limit in %%, ms or s", text)
	}
	return c, nil
}

// ParseMeasure reads a measure such as p99(msg_duration) or share(failed).
func ParseMeasure(text string) (Measure, error) {
	limit := ">1ms"
	if strings.HasPrefix(strings.TrimSpace(text), "share") {
		limit = ">1point"
	}
	c, err := ParseCriterion(text + limit)
	if err != nil {
		return Measure{}, fmt.Errorf("%q: want STATISTIC(METRIC) such as 'p99(msg_duration)', 'mean(msg_waiting,deferred)' or 'share(failed)' (statistics: p50 p90 p95 p99 p99.9 mean share; shares: failed deferred bounced unanswered)", text)
	}
	return c.Measure, nil
}

func measures(criteria []Criterion) []Measure {
	var out []Measure
	for _, c := range criteria {
		if !slices.Contains(out, c.Measure) {
			out = append(out, c.Measure)
		}
	}
	return out
}

// gates decides the criteria: each of m at alpha/m, so that together they err in at most alpha (Bonferroni: the limits are not 0, and Holm's order is that of the
// tests against 0).
func (p pairing) gates(o Options) []Gate {
	var out []Gate
	alpha := o.Alpha / float64(max(len(o.Criteria), 1))
	for _, c := range o.Criteria {
		out = append(out, p.gate(c, alpha))
	}
	return out
}

func (p pairing) gate(c Criterion, alpha float64) Gate {
	g := Gate{Criterion: c, Text: c.Text, State: Open}
	t := p.measure(c.Measure)
	test := t.raw
	if c.Relative {
		test = t.logs
	}
	switch {
	case t.row.Why != "":
		g.Why = t.row.Why
		return g
	case test == nil || t.ranks:
		g.Why = "there is no ratio: a value is 0"
		return g
	}
	// One-sided at alpha: half of a two-sided test at twice that.
	iv, estimate := test.Interval(2*alpha), test.Shift
	if c.Relative {
		iv, estimate = iv.Exp(), math.Exp(estimate)-1
		iv.Lo, iv.Hi = iv.Lo-1, iv.Hi-1
	}
	g.Estimate, g.Lo, g.Hi, g.Level = &estimate, &iv.Lo, &iv.Hi, iv.Level
	if !iv.Attained {
		need := stat.MinRuns(2 * alpha)
		if p.paired {
			need = stat.MinBlocks(2 * alpha)
		}
		g.Why = fmt.Sprintf("needs at least %s, has %d and %d", p.unit(need), len(p.a.Runs), len(p.b.Runs))
		return g
	}
	above := iv.Lo > c.Limit || iv.OpenLo && iv.Lo == c.Limit
	below := iv.Hi < c.Limit || iv.OpenHi && iv.Hi == c.Limit
	switch {
	case c.Sign > 0 && above, c.Sign < 0 && below:
		g.State = Worse
	case c.Sign > 0 && (below || iv.Hi == c.Limit), c.Sign < 0 && (above || iv.Lo == c.Limit):
		g.State = Inside
	}
	return g
}
