package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// record is what came out of a run.
type record struct {
	Schema      int               `json:"schema"`
	Provenance  result.Provenance `json:"provenance"`
	LoadBefore  float64           `json:"load_before"`
	LoadAfter   float64           `json:"load_after"`
	Interrupted bool              `json:"interrupted,omitempty"`

	Duration float64 `json:"duration_s"`
	WarmUp   float64 `json:"warm_up_s"`
	CPU      float64 `json:"sink_cpu_s"`

	Messages   int64            `json:"messages"`     // that were sent, by clients that keep to the rules
	Late       int64            `json:"late"`         // instants at which all of them were busy: no message then
	Claims     uint64           `json:"claims"`       // rows
	Dials      int64            `json:"connections"`  // that clients opened
	NotDialed  int64            `json:"not_dialed"`   // that could not be opened
	Misbehaved map[string]int64 `json:"misbehaviour"` // clients, by what they did
	Steered    map[string]int64 `json:"steered"`      // by the control API

	Resident *slope `json:"resident_memory,omitempty"` // octets; nil: too short to tell
	Heap     *slope `json:"heap_in_use,omitempty"`
	Before   sample `json:"before"`
	Left     sample `json:"left"`
	Peak     sample `json:"peak"`

	Ledger   tally             `json:"ledger"`
	Verdict  string            `json:"verdict"`
	Sentence string            `json:"sentence"`
	Units    uint64            `json:"units"`
	Fates    map[string]uint64 `json:"fates"`
	Notes    map[string]uint64 `json:"notes"` // of the judge: units by kind of finding, none of which is a fault
	Findings []string          `json:"findings"`

	samples []sample
}

// newRecord makes one of what was seen until the load ended.
func (s *soaking) newRecord(begin time.Time) *record {
	last := s.samples[len(s.samples)-1]
	r := &record{Schema: 1, Duration: time.Since(begin).Seconds(), WarmUp: s.options.warmup.Seconds(), CPU: last.CPU, samples: s.samples,
		Messages: s.sent.Load(), Late: s.late.Load(), Claims: s.claims.rows, Dials: s.connected.Load(), NotDialed: s.failedDials.Load(), Before: s.samples[0],
		Misbehaved: map[string]int64{}, Steered: map[string]int64{}}
	for i := range rogues {
		r.Misbehaved[rogues[i].name] = s.misbehaved[i].Load()
	}
	x := &s.steered
	for name, n := range map[string]int64{"swaps": x.Swaps.Load(), "refused plans": x.Invalid.Load(), "moves of the storm": x.Moves.Load(), "resets": x.Resets.Load(),
		"outcomes asked for": x.Nexts.Load(), "events followed": x.Events.Load(), "gaps told": x.Gaps.Load(), "requests": x.Requests.Load(), "abuses": x.Abuses.Load()} {
		r.Steered[name] = n
	}
	var hours, resident, heap []float64
	for _, x := range s.samples {
		r.Peak = sample{Hours: x.Hours, Resident: max(r.Peak.Resident, x.Resident), Heap: max(r.Peak.Heap, x.Heap), Goroutines: max(r.Peak.Goroutines, x.Goroutines),
			Descriptors: max(r.Peak.Descriptors, x.Descriptors), Series: max(r.Peak.Series, x.Series), CPU: x.CPU}
		if x.Hours >= s.options.warmup.Hours() {
			hours, resident, heap = append(hours, x.Hours), append(resident, x.Resident), append(heap, x.Heap)
		}
	}
	for _, figure := range []struct {
		name   string
		values []float64
		out    **slope
	}{{"resident memory", resident, &r.Resident}, {"heap in use", heap, &r.Heap}} {
		// Too few: a short run, which says nothing of memory.
		if line, err := slopeOf(hours, figure.values); err == nil {
			*figure.out = &line
			if line.grows() && s.options.duration >= longEnough {
				s.complain("%s grows by %.2f MiB an hour (95%% interval %.2f to %.2f)", figure.name, line.PerHour/(1<<20), line.Low/(1<<20), line.High/(1<<20))
			}
		}
	}
	return r
}

// longEnough is how long a run must be to judge memory by it: the bounds of the sink are filled then.
const longEnough = 30 * time.Minute

// judged takes what the judge said.
func (r *record) judged(result *reconcile.Result) {
	r.Verdict, r.Sentence, r.Units = result.Verdict.Verdict, result.Verdict.Sentence, result.Units
	r.Fates, r.Notes = map[string]uint64{}, map[string]uint64{}
	for fate, n := range result.Fates {
		if n > 0 {
			r.Fates[reconcile.Fate(fate).String()] = n // #nosec G115 -- a dozen
		}
	}
	for _, f := range result.Findings {
		r.Notes[string(f.Kind)] += f.Units
	}
}

func (r *record) report(w io.Writer) {
	fmt.Fprintf(w, "# Everything at once, for long\n\n%s\nThe machine's load average was %.2f before and %.2f after. Again: `%s`.\n\n", program.Heading(&r.Provenance), r.LoadBefore, r.LoadAfter,
		strings.Join(r.Provenance.CommandLine, " "))
	fmt.Fprintf(w, "%.0f s, the first %.0f s of which are warm-up. Clients that keep to the rules sent %d messages, %d a second, over %d connections together with\n"+
		"those of misbehaving clients. The sink took %.0f CPU seconds.\n\n", r.Duration, r.WarmUp, r.Messages, int(float64(r.Messages)/r.Duration), r.Dials, r.CPU)
	if len(r.Findings) == 0 {
		fmt.Fprint(w, "**Nothing was found wrong.**\n\n")
	} else {
		fmt.Fprint(w, "**Found:**\n\n")
		for _, f := range r.Findings {
			fmt.Fprintf(w, "- %s\n", f)
		}
		fmt.Fprintln(w)
	}
	const mib = 1 << 20
	fmt.Fprint(w, "| memory after the warm-up | mean, MiB | slope, MiB an hour | 95% interval | contains 0 | highest, MiB |\n|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		s    *slope
		peak float64
	}{{"resident set", r.Resident, r.Peak.Resident}, {"Go heap in use", r.Heap, r.Peak.Heap}} {
		if row.s == nil {
			fmt.Fprintf(w, "| %s | too short to tell | | | | %.1f |\n", row.name, row.peak/mib)
			continue
		}
		fmt.Fprintf(w, "| %s | %.1f | %+.3f | %+.3f to %+.3f | %v | %.1f |\n", row.name, row.s.Mean/mib, row.s.PerHour/mib, row.s.Low/mib, row.s.High/mib, row.s.Low <= 0 && row.s.High >= 0, row.peak/mib)
	}
	fmt.Fprintf(w, "\n%d samples; means of %d blocks of equal length, a least-squares line through them, Student's interval, widened by the correlation of neighbouring blocks' residuals\n(`slopeOf`). `soak.csv` has all samples.\n\n", len(r.samples), blocks)
	fmt.Fprintf(w, "| | before the first client | highest | after the last |\n|---|---|---|---|\n| descriptors | %.0f | %.0f | %.0f |\n| goroutines | %.0f | %.0f | %.0f |\n| lines of /metrics | %.0f | %.0f | %.0f |\n\n",
		r.Before.Descriptors, r.Peak.Descriptors, r.Left.Descriptors, r.Before.Goroutines, r.Peak.Goroutines, r.Left.Goroutines, r.Before.Series, r.Peak.Series, r.Left.Series)
	fmt.Fprint(w, "Of the goroutines that are left, some are idle workers that wait for the next connection with TLS.\n\n")
	l := &r.Ledger
	fmt.Fprintf(w, "**%s** %d claims of %d units. By the ledger, and the same by `/v1/stats` and by who opened, swapped, moved or reset: %d connections, %d transactions without RCPT, %d bodies,\n"+
		"%d attempts, %d deliveries, %d swaps of plans, %d moves of the storm, %d resets; %d attempts met an outcome that was asked for.\n\n", r.Sentence, r.Claims, r.Units,
		l.Connections, l.Transactions, l.Messages, l.Attempts, l.Deliveries, l.Swaps, l.Moves, l.Resets, l.Nexts)
	table(w, "fate", r.Fates)
	table(w, "the judge notes", r.Notes)
	table(w, "misbehaving clients", r.Misbehaved)
	table(w, "by the control API", r.Steered)
}

func table[N int64 | uint64](w io.Writer, title string, of map[string]N) {
	fmt.Fprintf(w, "| %s | |\n|---|---|\n", title)
	for _, name := range slices.Sorted(maps.Keys(of)) {
		fmt.Fprintf(w, "| %s | %d |\n", name, of[name])
	}
	fmt.Fprintln(w)
}

// writeSamples writes all samples as CSV.
func (r *record) writeSamples(path string) error {
	var b strings.Builder
	b.WriteString("seconds,resident_bytes,heap_in_use_bytes,goroutines,descriptors,metrics_lines,cpu_seconds\n")
	for _, x := range r.samples {
		fmt.Fprintf(&b, "%.1f,%.0f,%.0f,%.0f,%.0f,%.0f,%.2f\n", x.Hours*3600, x.Resident, x.Heap, x.Goroutines, x.Descriptors, x.Series, x.CPU)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644) // #nosec G306 -- results are for others to read
}
