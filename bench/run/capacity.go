package run

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/capacity"
	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Capacity makes a run a search for the highest rate at which the quality of service holds.
type Capacity struct {
	capacity.Options
	Trial   time.Duration // how long the load of a trial lasts; 0: 10 s
	Confirm time.Duration // and of one that confirms; 0: three times as long
}

// CapacitySchema is the version of capacity.json.
const CapacitySchema = "smtpstorm/capacity/1"

const (
	capacityFile   = "capacity.json"
	capacityScript = "workload"
	capacityPlan   = "calm" // where the user names none
	maxTrial       = time.Hour
	defaultTrial   = 10 * time.Second
)

// withDefaults completes the options of a search.
func (c *Capacity) withDefaults(o *Options) {
	if c.Trial == 0 {
		c.Trial = defaultTrial
	}
	if c.Confirm == 0 {
		c.Confirm = min(3*c.Trial, maxTrial)
	}
	o.Script, o.MTA = capacityScript, cmp.Or(o.MTA, MTANone)
	if !o.hasPlanFlags() {
		o.Plan = cmp.Or(o.Plan, capacityPlan)
	}
}

func (o *Options) validateCapacity() error {
	c := o.Capacity
	if c == nil {
		return nil
	}
	if err := c.Check(); err != nil {
		return input.Errorf("%v", err)
	}
	for _, f := range []struct {
		flag string
		d    time.Duration
	}{{"--duration", c.Trial}, {"--confirm", c.Confirm}} {
		if f.d < time.Second || f.d > maxTrial {
			return input.Errorf("%s %v: want 1s to %v", f.flag, f.d, maxTrial)
		}
	}
	for _, e := range o.Env {
		for _, ours := range []string{"RATE=", "PER_DAY=", "DURATION=", "SEED=", "VUS="} {
			if strings.HasPrefix(e, ours) {
				return input.Errorf("--env %s: the search sets %s itself", e, strings.TrimSuffix(ours, "="))
			}
		}
	}
	return nil
}

// prepareCapacity sees that a trial could run.
func (r *runner) prepareCapacity() error {
	_, err := r.o.storm(&r.bundle, capacityPlan)
	if err == nil && r.o.MTA == MTAPostfix {
		_, _, err = r.o.chooseMTA(mta.Find(), os.Geteuid() == 0)
	}
	return err
}

// capacity looks for the capacity of the sink, or of what stands between it and k6.
func (r *runner) capacity(ctx context.Context) (*Outcome, error) {
	if err := r.bundle.Unpack(r.scratch.Path("scripts")); err != nil {
		return nil, fmt.Errorf("write the built-in scripts for k6: %w", err)
	}
	outcome := &Outcome{Dir: r.out.Final}
	r.progress.Say("capacity from %d/s on, at most %d/s, to within %.3g%%; trials of %v, confirmed by ones of %v", r.o.Capacity.From, r.o.Capacity.To, 100*r.o.Capacity.Precision, r.o.Capacity.Trial, r.o.Capacity.Confirm)
	found, err := capacity.Search(r.o.Capacity.Options, func(rate, confirm int) (capacity.Quality, error) {
		q, leg, err := r.tryRate(ctx, len(outcome.Legs)+1, rate, confirm)
		if err == nil {
			outcome.Legs = append(outcome.Legs, leg)
			r.legs++
			r.progress.Say("%s", trialLine(capacity.Trial{Rate: rate, Confirms: confirm, Quality: q}))
		}
		return q, err
	})
	if err != nil {
		return nil, err
	}
	if len(found.Trials) == 0 {
		return nil, errInterrupted
	}
	outcome.Interrupted = found.Interrupted
	return outcome, r.reportCapacity(outcome, &found)
}

// tryRate offers the workload at a rate. A trial that was cut short does not count: capacity.ErrStopped.
func (r *runner) tryRate(ctx context.Context, n, rate, confirm int) (q capacity.Quality, leg *Leg, err error) {
	if stopped(r.o.Stop) {
		return q, nil, capacity.ErrStopped
	}
	lasts := r.o.Capacity.Trial
	if confirm > 0 {
		lasts = r.o.Capacity.Confirm
	}
	t := *r
	t.name = fmt.Sprintf("%02d-%d-per-s", n, rate)
	t.o.Rate, t.o.given = float64(rate), load{vus: r.o.VUs, rate: float64(rate)}
	t.o.Env = append([]string{fmt.Sprintf("SEED=%d", r.o.Seed), "DURATION=" + lasts.String(), fmt.Sprintf("RUN=%d", n)}, r.o.Env...)
	if r.o.MaxTime == 0 {
		t.o.MaxTime = lasts + 3*time.Minute // replies that are late have a minute, and k6 its own
	}
	switch {
	case t.o.Target != "":
		leg, err = t.target(ctx)
	case t.o.MTA == MTAPostfix:
		leg, err = t.postfix(ctx)
	default:
		faults, ferr := t.o.storm(&t.bundle, capacityPlan)
		if ferr != nil {
			return q, nil, ferr
		}
		leg, err = t.direct(ctx, t.name, faults.Source.Name, t.o.directLoad(t.script()), faults)
	}
	switch {
	case err != nil && stopped(r.o.Stop), err == nil && (leg == nil || leg.Interrupted && stopped(r.o.Stop)):
		return q, nil, capacity.ErrStopped
	case err != nil:
		return q, nil, err
	}
	if q, err = capacity.Judge(leg.Record); err != nil {
		return q, nil, fmt.Errorf("trial %s: %w", t.name, err)
	}
	return q, leg, r.finished(leg)
}

func trialLine(t capacity.Trial) string {
	why := ""
	if len(t.Why) > 0 {
		why = " (" + strings.Join(t.Why, ", ") + ")"
	}
	as := "tried"
	if t.Confirms > 0 {
		as = fmt.Sprintf("%d%%", t.Confirms)
	}
	return fmt.Sprintf("%-8s %d/s %s%s", as, t.Rate, t.Verdict, why)
}

// CapacityReport is what a search came to, as capacity.json has it.
type CapacityReport struct {
	Schema string `json:"schema"`
	capacity.Result
	Verdict  string  `json:"verdict"`
	Plan     string  `json:"plan"`
	Through  string  `json:"through,omitempty"` // the MTA
	Seed     uint64  `json:"seed"`
	Duration float64 `json:"trial_s"`
	Confirm  float64 `json:"confirm_s"`
}

// reportCapacity writes and prints what the search came to.
func (r *runner) reportCapacity(outcome *Outcome, found *capacity.Result) error {
	verdict := capacityVerdict(found)
	outcome.Exit = capacityExit(found)
	last := outcome.Legs[len(outcome.Legs)-1].Record
	outcome.Capacity = &CapacityReport{Schema: CapacitySchema, Result: *found, Verdict: verdict, Plan: last.Provenance.Plan.Name, Seed: r.o.Seed, Duration: r.o.Capacity.Trial.Seconds(), Confirm: r.o.Capacity.Confirm.Seconds()}
	if mta := last.Provenance.MTA; mta != nil {
		outcome.Capacity.Through = strings.TrimSpace(mta.Name + " " + mta.Version)
	}
	if err := r.out.JSON(capacityFile, outcome.Capacity); err != nil {
		return err
	}
	tables := text.Labelled("capacity", verdict) + "\n" + capacityTable(found) + "\n" + text.Wrap(fmt.Sprintf(
		"holds: at least %.0f%% of each step within 5 s (the body: and a second for each 3,000 octets), %.0f%% of the accepted ones at the sink within %d s, at most %.0f%% errors. The load is Poisson arrivals of the SPECmail2001 profile, a message a connection; this is no SPEC result.",
		100*capacity.MinInTime, 100*capacity.MinSeen, capacity.SeenSeconds, 100*capacity.MaxErrors), text.Columns, "") + "\n"
	if err := os.WriteFile(r.out.Path("capacity.txt"), []byte(tables), 0o644); err != nil { // #nosec G306 -- results are for others to read
		return err
	}
	if err := r.out.Publish(); err != nil {
		return err
	}
	r.progress.Clear()
	fmt.Fprintf(r.o.Console, "\n%s", r.o.paint(tables))
	fmt.Fprintf(r.o.Console, "figures  %s\nrecords  %s\n", input.Printable(input.Shortest(filepath.Join(r.out.Final, capacityFile))), input.Printable(input.Shortest(r.out.Final)+string(filepath.Separator)))
	return nil
}

func capacityTable(found *capacity.Result) string {
	t := text.Table{Right: []int{0, 1, 2, 4, 5}}
	t.Row("rate", "messages", "in time", "slowest", "errors", "seen", "verdict")
	for _, trial := range found.Trials {
		rate := fmt.Sprintf("%d/s", trial.Rate)
		if trial.Confirms > 0 {
			rate = fmt.Sprintf("%d%%  %s", trial.Confirms, rate)
		}
		slowest := trial.Slowest()
		t.Row(rate, text.Count(trial.Messages), capacity.Percent(slowest.Share()), slowest.Name, capacity.Percent(trial.Errors()), capacity.Percent(trial.SeenShare()), string(trial.Verdict))
	}
	return t.String()
}

func capacityVerdict(found *capacity.Result) string {
	var s string
	switch {
	case found.Capacity == 0 && found.Interrupted:
		s = fmt.Sprintf("not found: interrupted; the quality holds at no rate from %d/s on", found.Beyond)
	case found.Capacity == 0:
		s = fmt.Sprintf("the quality holds at no rate, not even at %d/s", found.Beyond)
	case found.AtLeast:
		s = fmt.Sprintf("at least %d messages/s, the most that was tried (--to)", found.Capacity)
	case found.Generator:
		s = fmt.Sprintf("at least %d messages/s: from %d/s on it was k6 that could not offer the load", found.Capacity, found.Beyond)
	case found.Beyond == 0:
		s = fmt.Sprintf("at least %d messages/s", found.Capacity)
	default:
		s = fmt.Sprintf("%d messages/s; at %d/s the quality does not hold", found.Capacity, found.Beyond)
	}
	switch {
	case found.Interrupted && found.Capacity > 0:
		s += "; interrupted, and not confirmed"
	case found.Confirmed && found.Beyond > 0 && !found.AtLeast:
		s += fmt.Sprintf("; confirmed at 80, 100 and 120%% of %d/s", found.Capacity)
	case found.Confirmed:
		s += "; confirmed"
	case found.Capacity > 0:
		s += "; not confirmed: trials at one rate came to different ends"
	}
	return s
}

// capacityExit is the exit status: a capacity that is not confirmed, or only a bound, is undetermined.
func capacityExit(found *capacity.Result) int {
	switch {
	case found.Interrupted, found.Capacity > 0 && !found.Confirmed, found.Generator:
		return reconcile.ExitUndetermined
	case found.Capacity == 0:
		return reconcile.ExitFaults
	}
	return 0
}
