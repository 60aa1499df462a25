package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// summaryFile has the verdicts and the figures of a run.
const summaryFile = "summary.json"

// bootstrapSeed makes the intervals of a report reproducible from its records.
const bootstrapSeed = 1

// report writes the results, prints the tables, and says what the run came to.
func (r *runner) report(outcome *Outcome) error {
	r.progress.Update("writing the report")
	now := time.Now()
	full := report.Report{Title: title(outcome), Generated: now, Intervals: compare.IntervalOptions{Seed: bootstrapSeed}, Judge: r.o.Judge}
	var direct, through []*result.Record
	for _, leg := range outcome.Legs {
		full.Legs = append(full.Legs, leg.Record)
		if leg.Record.Delivery == nil {
			direct = append(direct, leg.Record)
		} else {
			through = append(through, leg.Record)
		}
		if err := leg.Record.Write(r.out.Path(leg.Name + ".json")); err != nil {
			return err
		}
	}
	if err := r.writePage(full); err != nil {
		return err
	}
	summary, err := report.Summarize(full)
	if err != nil {
		return err
	}
	outcome.Exit = summary.Exit
	if err := r.out.JSON(summaryFile, summary); err != nil {
		return err
	}
	var tables strings.Builder
	tables.WriteString(text.Labelled("verdict", summary.Sentence) + "\n" + summary.StormText() + "\n")
	if err := summary.Result.WriteFound(&tables); err != nil {
		return err
	}
	tables.WriteByte('\n')
	for _, part := range []struct {
		records []*result.Record
		phases  []string
	}{{direct, comparedPhases}, {through, throughPhases}} {
		if len(part.records) == 0 {
			continue
		}
		table := report.Report{Title: titleOf(part.records), Generated: now, Intervals: full.Intervals}
		for _, record := range part.records {
			table.Legs = append(table.Legs, condensed(record, part.phases))
		}
		if err := report.Text(&tables, table); err != nil {
			return err
		}
		tables.WriteByte('\n')
	}
	if err := WriteReplies(&tables, outcome.Legs); err != nil {
		return err
	}
	writeDelivery(&tables, outcome.Legs)
	if err := os.WriteFile(r.out.Path("comparison.txt"), []byte(tables.String()), 0o644); err != nil { // #nosec G306 -- results are for others to read
		return err
	}
	if err := r.out.Publish(); err != nil {
		return err
	}
	r.progress.Clear()
	fmt.Fprintf(r.o.Console, "\n%s", r.o.paint(tables.String()))
	r.conclude(outcome, summary.Sentence)
	return nil
}

// The trends that the tables show; the page has all of them. A trend of the script's own is always shown.
var (
	comparedPhases = []string{"smtp_msg_duration", "smtp_msg_blocked", "smtp_msg_mail", "smtp_msg_rcpt", "smtp_msg_data", "smtp_msg_waiting"}
	throughPhases  = []string{"smtp_msg_duration"}
)

// condensed returns a record without k6's and our other trends. It shares everything else with the given one.
func condensed(r *result.Record, phases []string) *result.Record {
	if r.Client == nil {
		return r
	}
	client := *r.Client
	client.Series = slices.Clone(client.Series)
	for i := range client.Series {
		s := &client.Series[i]
		ours := strings.HasPrefix(s.Metric, "smtp_") || s.Metric == "iteration_duration"
		if s.Histogram != nil && ours && !slices.Contains(phases, s.Metric) {
			summary := s.Histogram.Summary()
			s.Histogram, s.Stats, s.Type = nil, &summary, result.Counter // its index must stay, windows refer to it
		}
	}
	out := *r
	out.Client = &client
	return &out
}

// writePage writes the report and its charts.
func (r *runner) writePage(full report.Report) (err error) {
	page, err := os.Create(r.out.Path("report.html"))
	if err != nil {
		return err
	}
	if err := errors.Join(report.HTML(page, full), page.Close()); err != nil {
		return err
	}
	charts, err := report.Charts(full)
	if err != nil {
		return err
	}
	if err := os.Mkdir(r.out.Path("plots"), 0o755); err != nil { // #nosec G301 -- results are for others to read
		return err
	}
	for _, chart := range charts {
		for extension, write := range map[string]func(io.Writer) error{".svg": chart.SVG, ".png": chart.PNG} {
			f, err := os.Create(r.out.Path(filepath.Join("plots", chart.Name+extension)))
			if err != nil {
				return err
			}
			if err := errors.Join(write(f), f.Close()); err != nil {
				return err
			}
		}
	}
	return nil
}

func title(outcome *Outcome) string {
	var labels []string
	for _, leg := range outcome.Legs {
		labels = append(labels, leg.Record.Label)
	}
	return "smtpstorm: " + strings.Join(labels, " · ")
}

func titleOf(records []*result.Record) string {
	var labels []string
	for _, r := range records {
		labels = append(labels, r.Label)
	}
	return strings.Join(labels, " against ")
}

// conclude prints the last lines.
func (r *runner) conclude(outcome *Outcome, verdict string) {
	fmt.Fprintf(r.o.Console, "\n%sreport   %s\nrecords  %s\n", r.o.paint(text.Labelled("verdict", verdict)),
		input.Printable(input.Shortest(filepath.Join(r.out.Final, "report.html"))), input.Printable(input.Shortest(r.out.Final)+string(filepath.Separator)))
	if r.board == nil {
		return
	}
	for _, leg := range outcome.Legs {
		page := filepath.Join(r.out.Final, "dashboard-"+leg.Name+".html")
		if input.Readable(page) != nil {
			fmt.Fprintf(r.o.Console, "no dashboard page of leg %s: k6 leaves none of a run of less than two seconds\n", leg.Name)
			continue
		}
		fmt.Fprintf(r.o.Console, "page     %s\n", input.Printable(input.Shortest(page)))
	}
}

// paint colours what a reader must not miss, on a terminal that wants it.
func (o *Options) paint(s string) string { return text.PaletteFor(o.Console).Lines(s) }
