package compare

import (
	"fmt"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/stat"
)

// Limits past which a figure deserves a warning.
const (
	maxShareOfCapacity = 0.5 // arrival rate / probed capacity
	maxShareOfCPU      = 0.8 // of the cores a process may use
)

// Warnings says why figures of a run deserve less trust: what the record itself
// carries, dropped or aborted iterations, a saturated generator or sink, too few
// samples of a trend for its p99.
func Warnings(r *result.Record) []string {
	out := append([]string(nil), r.Warnings...)
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	l := r.Load
	if l.IterationsDropped > 0 {
		add("%d iterations were dropped because no virtual user was free: every percentile above p%.4g is unknown and prints as \"> max\"",
			l.IterationsDropped, 100*Seen(l))
	}
	if n := Unanswered(r, "smtp_msg_duration"); n > 0 {
		lasted := r.Client.Total(MetricUnanswered, nil).Summary()
		add("the client gave up waiting for the replies to %d messages, after up to %.4g ms (a timeout, or the end of an iteration): every percentile of smtp_msg_duration above p%.4g is unknown and prints as \"> max\"",
			n, lasted.Max, 100*SeenOf(r, "smtp_msg_duration"))
	}
	if l.ExitStatus != nil && *l.ExitStatus != 0 && *l.ExitStatus != result.ThresholdsCrossed {
		add("the load generator ended with exit status %d", *l.ExitStatus)
	}
	if l.ProbeRatePerSecond > 0 && l.RatePerSecond > maxShareOfCapacity*l.ProbeRatePerSecond*1.001 {
		add("the arrival rate is %.0f %% of the capacity that the probe measured: latencies include queueing at the generator or the sink",
			100*l.RatePerSecond/l.ProbeRatePerSecond)
	}
	cores := r.Provenance.Cores
	if r.Client != nil {
		if share := r.Client.Process.CPUShare(cores); share > maxShareOfCPU {
			add("the load generator used %.0f %% of the machine's CPUs: it may be the bottleneck", 100*share)
		}
		out = append(out, fewSamples(r.Client)...)
	}
	if r.Sink != nil {
		if share := r.Sink.Process.CPUShare(cores); share > maxShareOfCPU {
			add("the sink used %.0f %% of the machine's CPUs: it may be the bottleneck", 100*share)
		}
		check := r.Sink.SelfCheck
		if check == nil {
			check = r.Sink.Check()
		}
		for _, line := range check.Saturation {
			add("the sink: %s", line)
		}
	}
	if r.Provenance.SinkMode == result.SinkInProcess {
		add("the sink shared CPU, garbage collection and descriptors with the load generator (in-process)")
	}
	return out
}

func fewSamples(c *result.Client) []string {
	const q = 0.99
	var few []string
	for _, metric := range c.Metrics(result.Trend) {
		if metric == MetricUnanswered {
			continue // the fewer, the better
		}
		h := c.Total(metric, nil)
		if n := h.Count(); n > 0 && n < stat.MinSamples(q) {
			few = append(few, fmt.Sprintf("%s (%d)", metric, n))
		}
	}
	if len(few) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("fewer than %d samples, so that p99 rests on fewer than ten values: %s", stat.MinSamples(q), strings.Join(few, ", "))}
}

// saturation says what of a run's generator or sink was at its limit: its latencies are then those of the bench.
func saturation(r *result.Record) []string {
	var out []string
	if r.Client != nil {
		if share := r.Client.Process.CPUShare(r.Provenance.Cores); share > maxShareOfCPU {
			out = append(out, fmt.Sprintf("the load generator used %.0f%% of the machine's CPUs", 100*share))
		}
	}
	if r.Sink != nil {
		if share := r.Sink.Process.CPUShare(r.Provenance.Cores); share > maxShareOfCPU {
			out = append(out, fmt.Sprintf("the sink used %.0f%% of the machine's CPUs", 100*share))
		}
		check := r.Sink.SelfCheck
		if check == nil {
			check = r.Sink.Check()
		}
		for _, line := range check.Saturation {
			out = append(out, "the sink: "+line)
		}
	}
	return out
}
