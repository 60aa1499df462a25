package stat

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Ending is how the waiting of some messages ended, all at one time.
type Ending struct {
	Time float64 // since each message's own start, at least 0
	// Cause is 1 to the number of causes, such as delivered, bounced, expired; 0 where the message was still waiting when it was last
	// looked at (censored).
	Cause int
	Count uint64
}

// Incidence is the cumulative incidence of each cause: the share of all messages that had ended by it at a time, whatever the
// others will do.
type Incidence struct {
	Times   []float64 // at which something ended, ascending
	AtRisk  []uint64  // messages that still waited just before
	Waiting []float64 // the share that still waits just after
	// Share[k][i] is the share that had ended by cause k+1 at Times[i]; the shares of all causes and Waiting sum to 1.
	Share [][]float64
	// StdErr[k][i] is the standard error of Share[k][i] by the infinitesimal jackknife; it takes messages as independent.
	StdErr [][]float64
}

// AalenJohansen estimates the cumulative incidence of competing causes from times of which some are censored. To
// censor the messages of the other causes instead (Kaplan-Meier, a cause at a time) would overstate every cause. Of a time,
// endings come before censorings. It errs on a time that is none and a cause above causes.
func AalenJohansen(endings []Ending, causes int) (*Incidence, error) {
	groups := make([]Ending, 0, len(endings))
	var total uint64
	for _, e := range endings {
		switch {
		case !(e.Time >= 0) || math.IsInf(e.Time, 1):
			return nil, fmt.Errorf("an ending at time %v", e.Time)
		case e.Cause < 0 || e.Cause > causes:
			return nil, fmt.Errorf("an ending of cause %d, of %d causes", e.Cause, causes)
		case e.Count > 0:
			groups = append(groups, e)
			total += e.Count
		}
	}
	slices.SortFunc(groups, func(x, y Ending) int { return cmp.Or(cmp.Compare(x.Time, y.Time), cmp.Compare(x.Cause, y.Cause)) })
	groups = mergeEndings(groups)
	in := &Incidence{Share: make([][]float64, causes), StdErr: make([][]float64, causes)}
	var hazards [][]float64 // by time, by cause
	waiting, share := 1.0, make([]float64, causes)
	atRisk := total
	for i := 0; i < len(groups); {
		var ended uint64
		hazard := make([]float64, causes)
		before := atRisk
		at := groups[i].Time
		for ; i < len(groups) && groups[i].Time == at; i++ {
			atRisk -= groups[i].Count
			if cause := groups[i].Cause; cause > 0 {
				hazard[cause-1] = float64(groups[i].Count) / float64(before)
				ended += groups[i].Count
			}
		}
		if ended == 0 {
			continue
		}
		for k, h := range hazard {
			share[k] += waiting * h
			in.Share[k] = append(in.Share[k], share[k])
		}
		waiting *= float64(before-ended) / float64(before)
		hazards = append(hazards, hazard)
		in.Times = append(in.Times, at)
		in.AtRisk = append(in.AtRisk, before)
		in.Waiting = append(in.Waiting, waiting)
	}
	in.jackknife(groups, hazards)
	return in, nil
}

// mergeEndings adds up neighbours of the same time and cause.
func mergeEndings(sorted []Ending) []Ending {
	out := sorted[:0]
	for _, e := range sorted {
		if n := len(out); n > 0 && out[n-1].Time == e.Time && out[n-1].Cause == e.Cause {
			out[n-1].Count += e.Count
		} else {
			out = append(out, e)
		}
	}
	return out
}

// jackknife sums the squared influence of each message on each share: the derivative of the estimate by the message's weight. Messages
// that still wait have one in common. Once a message has ended, its influence on the share that waits only shrinks with that share, so that on
// share k is a + r*share: sums over the messages of a², ar and r² are enough, and the time is that of one pass.
func (in *Incidence) jackknife(groups []Ending, hazards [][]float64) {
	causes := len(in.Share)
	common := influence{shares: make([]float64, causes)}
	aa, ar := make([]float64, causes), make([]float64, causes)
	var rr, left float64 // left: messages that wait
	for _, g := range groups {
		left += float64(g.Count)
	}
	retire := func(g Ending, x influence, waiting float64, share func(k int) float64) {
		n, r := float64(g.Count), 0.0
		if waiting > 0 {
			r = x.waiting / waiting
		}
		for k, v := range x.shares {
			a := v - r*share(k)
			aa[k] += n * a * a
			ar[k] += n * a * r
		}
		rr += n * r * r
		left -= n
	}
	next := 0
	waiting := 1.0
	before := make([]float64, causes) // the shares until now
	for i, at := range in.Times {
		for ; next < len(groups) && groups[next].Time < at; next++ { // censored since the last ending
			retire(groups[next], common, waiting, func(k int) float64 { return before[k] })
		}
		atRisk := float64(in.AtRisk[i])
		stays := common.after(hazards[i], atRisk, waiting, 0)
		for ; next < len(groups) && groups[next].Time == at; next++ {
			x := stays
			if cause := groups[next].Cause; cause > 0 {
				x = common.after(hazards[i], atRisk, waiting, cause)
			}
			retire(groups[next], x, in.Waiting[i], func(k int) float64 { return in.Share[k][i] })
		}
		common, waiting = stays, in.Waiting[i]
		for k := range before {
			f := in.Share[k][i]
			before[k] = f
			in.StdErr[k] = append(in.StdErr[k], math.Sqrt(max(0, aa[k]+2*f*ar[k]+f*f*rr+left*common.shares[k]*common.shares[k])))
		}
	}
}

// influence is that of one message on the share that waits and on that of each cause.
type influence struct {
	waiting float64
	shares  []float64
}

// after is the influence after a time with these hazards at which the message was at risk, and ended by cause, or by none if that is 0.
func (x influence) after(hazards []float64, atRisk, waiting float64, cause int) influence {
	out := influence{shares: make([]float64, len(x.shares))}
	var all, sum float64 // influence on the hazard of all causes; that hazard
	for k, h := range hazards {
		dh := -h / atRisk
		if cause == k+1 {
			dh += 1 / atRisk
		}
		out.shares[k] = x.shares[k] + x.waiting*h + waiting*dh
		all += dh
		sum += h
	}
	out.waiting = x.waiting*(1-sum) - waiting*all
	return out
}

// At returns the share of cause (1 for the first) at a time, with its interval at the confidence, from the standard error of
// log(-log(1-share)), which keeps it within 0 to 1. Before the first ending of the cause, the share is 0 and there is no interval: both bounds are NaN.
func (in *Incidence) At(cause int, time, confidence float64) (share float64, iv Interval) {
	i, found := slices.BinarySearch(in.Times, time)
	if !found {
		i--
	}
	if i < 0 || in.Share[cause-1][i] == 0 {
		return 0, Interval{Lo: math.NaN(), Hi: math.NaN()}
	}
	share = in.Share[cause-1][i]
	if share >= 1 {
		return 1, Interval{Lo: math.NaN(), Hi: math.NaN()}
	}
	z := distuv.UnitNormal.Quantile(1 - (1-confidence)/2)
	// Of 1-share, as for a survival: (1-share)^exp(+-z*se/((1-share)*log(1-share))).
	rest := 1 - share
	width := math.Exp(z * in.StdErr[cause-1][i] / (rest * -math.Log(rest)))
	return share, Interval{Lo: 1 - math.Pow(rest, 1/width), Hi: 1 - math.Pow(rest, width)}
}
