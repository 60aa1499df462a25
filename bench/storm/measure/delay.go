package measure

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Delay is how long messages took from the instant at which they should have been submitted to their first delivery.
type Delay struct {
	Injected  string `json:"injected"` // before, during or after the storm; or all
	Units     int    `json:"units"`
	Delivered int    `json:"delivered"`
	Failed    int    `json:"failed"`   // given up, or refused for good, and not delivered: they compete with delivery
	Censored  int    `json:"censored"` // neither, when watching ended
	// P50, P90 and P99 are when so large a share of all units was delivered: nil where it never was. Max is of those that were.
	P50 *float64 `json:"p50_s,omitempty"`
	P90 *float64 `json:"p90_s,omitempty"`
	P99 *float64 `json:"p99_s,omitempty"`
	Max *float64 `json:"max_s,omitempty"`
}

// Names of when a message was injected.
const (
	Before = "before"
	During = "during"
	After  = "after"
	All    = "all"
)

func (r *Run) when(u *Unit) string {
	switch {
	case u.Intended.Before(r.Storm):
		return Before
	case u.Intended.Before(r.End):
		return During
	}
	return After
}

func delays(r *Run) []Delay {
	groups := map[string][]Unit{}
	for i := range r.Units {
		w := r.when(&r.Units[i])
		groups[w] = append(groups[w], r.Units[i])
	}
	groups[All] = r.Units
	var out []Delay
	for _, name := range [...]string{Before, During, After, All} {
		if len(groups[name]) > 0 {
			out = append(out, r.delay(name, groups[name]))
		}
	}
	return out
}

func (r *Run) delay(name string, units []Unit) Delay {
	d := Delay{Injected: name, Units: len(units)}
	for _, o := range r.outcomes(units) {
		switch o.cause {
		case delivered:
			d.Delivered++
			if d.Max == nil || o.after > *d.Max {
				d.Max = &o.after
			}
		case failed:
			d.Failed++
		default:
			d.Censored++
		}
	}
	curve := incidence(r, units)
	d.P50, d.P90, d.P99 = curve.reaches(0.5), curve.reaches(0.9), curve.reaches(0.99)
	return d
}

// cause is how the time of a unit ended.
type cause uint8

const (
	censored cause = iota
	delivered
	failed
)

// outcome is the end of a unit's time.
type outcome struct {
	after float64 // seconds since the intended instant
	cause cause
}

// outcomes says how each unit that the sender accepted ended; others owe nothing.
func (r *Run) outcomes(units []Unit) []outcome {
	var out []outcome
	for i := range units {
		u := &units[i]
		t, ok := u.first()
		since := func(t time.Time) float64 { return max(0, t.Sub(u.Intended).Seconds()) }
		switch {
		case ok:
			out = append(out, outcome{since(t), delivered})
		case !u.Failed.IsZero():
			out = append(out, outcome{since(u.Failed), failed})
		case u.Accepted:
			out = append(out, outcome{since(r.Cutoff), censored})
		}
	}
	return out
}

// DomainDelay is the delay of one recipient domain.
type DomainDelay struct {
	Domain   string `json:"domain"`
	Affected bool   `json:"affected"` // the storm is for it; else its delay is collateral
	Delay
}

func domains(r *Run) []DomainDelay {
	by := map[string][]Unit{}
	for i := range r.Units {
		by[r.Units[i].Domain] = append(by[r.Units[i].Domain], r.Units[i])
	}
	var out []DomainDelay
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, DomainDelay{Domain: name, Affected: r.Affected == nil || slices.Contains(r.Affected, name), Delay: r.delay(All, by[name])})
	}
	return out
}

// Incidence is the share of units that were delivered, and that failed, within a time of their own since the intended instant (Aalen and
// Johansen's estimator): what is still open when watching ends is censored, and a failure competes with a delivery.
type Incidence struct {
	Points []Point `json:"points"`
}

// Point is how large the shares are from After seconds on.
type Point struct {
	After     float64 `json:"after_s"`
	Delivered float64 `json:"delivered"`
	Failed    float64 `json:"failed"`
}

// reaches returns the time at which the share of deliveries is reached; nil: never.
func (c *Incidence) reaches(share float64) *float64 {
	const rounding = 1e-9
	for i := range c.Points {
		if c.Points[i].Delivered >= share-rounding {
			return &c.Points[i].After
		}
	}
	return nil
}

// Times are taken up to a thousandth of a second, or a tenth where there are many units: the estimator takes time by the number of different ones.
const (
	fine   = 1000.0
	coarse = 10.0
	many   = 5000
)

func incidence(r *Run, units []Unit) (c Incidence) {
	parts := fine
	if len(units) > many {
		parts = coarse
	}
	var endings []stat.Ending
	for _, o := range r.outcomes(units) {
		endings = append(endings, stat.Ending{Time: math.Ceil(o.after*parts-1e-6) / parts, Cause: int(o.cause), Count: 1})
	}
	estimate, err := stat.AalenJohansen(endings, int(failed))
	if err != nil { // a time that is none can't come of outcomes
		return c
	}
	for i, at := range estimate.Times {
		c.Points = append(c.Points, Point{at, estimate.Share[delivered-1][i], estimate.Share[failed-1][i]})
	}
	return c
}
