package storm

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/smtpstorm/xk6-smtp/bench/storm/measure"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// WriteText writes a record for people: fates and findings, then the figures. The verdict is left to the caller.
func WriteText(w io.Writer, r *Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s under storm %s\n\n", r.Provenance.MTA.Version, r.Storm.Name)
	if err := r.Judgement.WriteFound(&b); err != nil {
		return err
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range Lines(r) {
		fmt.Fprintf(t, "%s\t%s\n", line.Name, line.Value)
	}
	_ = t.Flush() // to memory
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "finding  %s\n", f)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning  %s\n", warning)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// Line is a figure with its name.
type Line struct{ Name, Value string }

// Lines are the figures of a record, each in a line. What was not measured is not there.
func Lines(r *Record) (out []Line) {
	f := r.Figures
	add := func(name, format string, args ...any) { out = append(out, Line{name, fmt.Sprintf(format, args...)}) }
	if d := f.Depth; d != nil {
		add("queue", "peak %s at %.0f s, area %s message seconds (%.1f samples a second)", text.Count(d.Peak), d.At, text.Count(int64(d.Area)), d.Rate)
	}
	add("attempts", "%s of messages, %s connections, %s of them without an envelope", text.Count(f.Attempts.Messages), text.Count(f.Attempts.Connections), text.Count(f.Attempts.Barren))
	if len(f.Backoff) > 0 {
		var gaps []string
		for _, g := range f.Backoff[:min(len(f.Backoff), 8)] {
			gaps = append(gaps, fmt.Sprintf("%.1f", g.Median))
		}
		add("pauses", "%s s in the median", strings.Join(gaps, ", "))
	}
	if a := f.Adherence; a != nil {
		add("policy", "kept by %.1f%% of %s pauses; %s early, %s late (by up to %.1f s)", 100*a.Share(), text.Count(a.Gaps), text.Count(a.Early), text.Count(a.Late), a.WorstLate)
	}
	if f.Waste.AttemptsPer != nil {
		add("in vain", "%.2f attempts, %.2f connections and %.0f octets for each delivered message", *f.Waste.AttemptsPer, *f.Waste.ConnectionsPer, *f.Waste.OctetsPer)
	}
	for _, what := range []string{"attempts", "connections"} {
		if h, ok := f.Herd[what]; ok && h.PeakToMean != nil {
			add("herd", "%s: at most %d a second, %.1f times the mean", what, h.Peak, *h.PeakToMean)
		}
	}
	v := &f.Recovery
	if v.Backlog > 0 {
		add("recovery", "of a backlog of %s the first was delivered %s after the storm, all but 1%% %s, all %s", text.Count(v.Backlog), seconds(v.Lag), seconds(v.To1), seconds(v.To0))
	}
	for _, d := range f.Delay {
		if d.Injected != measure.All {
			add("delay", "submitted %s: p50 %s, p90 %s, p99 %s; %s delivered, %s failed, %s open", d.Injected, seconds(d.P50), seconds(d.P90), seconds(d.P99),
				text.Count(d.Delivered), text.Count(d.Failed), text.Count(d.Censored))
		}
	}
	if c := f.Concurrency; c != nil {
		add("open", "at most %d connections before, %d in, %d after the storm; %.2f new ones a second in its second half", c.Before, c.Storm, c.After, c.Probes)
	}
	if x := f.Fairness; x != nil {
		add("order", "in %.0f%% of the pairs a newer message overtook an older one that waited", 100*x.Overtaken)
	}
	if x := f.Resources; x != nil {
		least := " at least"
		if r.Grouped {
			least = ""
		}
		add("used", "%.2f s of CPU%s, %s MiB at most; sink and source %.2f s, looking at the queue %.2f s", x.CPU, least, text.Count(x.Memory>>20), r.Bench, r.Sampler)
	}
	if m := r.Machine; m != nil {
		add("machine", "load average %.1f at the begin, %.1f at the end; other processes used %.2f of %d cores", m.LoadBegin, m.LoadEnd, m.Others, r.Provenance.Cores)
	}
	if l := r.Log; l != nil {
		unclear := ""
		if l.Unclear > 0 {
			unclear = fmt.Sprintf(", %s of which it doesn't say so", text.Count(l.Unclear))
		}
		add("log", "%s attempts that reached the next hop, %s that didn't%s, %s suspended; the ledger has %s", text.Count(l.Reached), text.Count(l.Unreached), unclear,
			text.Count(l.Events["suspended"]), text.Count(l.Ledger))
	}
	return out
}

func seconds(v *float64) string {
	if v == nil {
		return "never"
	}
	return fmt.Sprintf("%.1f s", *v)
}
