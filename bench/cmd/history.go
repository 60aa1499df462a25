package cmd

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func newHistoryCommand(stdout *os.File) *cobra.Command {
	var svg, measure string
	var asJSON bool
	var seed uint64
	cmd := &cobra.Command{
		Use:   "history DIR...",
		Short: "find where a figure changed over the records of many commits",
		Long: `history reads the records of directories, a run each, in the order in which they began, and finds the places at which a figure began to be another one (E-divisive, each
place by a permutation test at 5%). It names the commit of the first run after each. The runs must be of one script, plan and load; at least three lie between two changes.`,
		Example: `  smtpbench history nightly/
  smtpbench history nightly/ --measure 'p99(msg_duration)' --svg p99.svg
  smtpbench history nightly/ --json | jq '.[].changes'`,
		Args: arguments(1, math.MaxInt, "directories of records"),
		RunE: func(_ *cobra.Command, args []string) error {
			if svg != "" && measure == "" {
				return usageErrorf("--svg goes with --measure: a drawing has one figure")
			}
			return history(stdout, args, measure, svg, seed, asJSON)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed, whether or not something changed"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad, or they are no series: nothing was written"})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&measure, "measure", "", "the one `figure` to look at, such as p99(msg_duration) or share(failed) (default: p50 and p99 of msg_duration, share failed, share deferred)")
	f.StringVar(&svg, "svg", "", "also draw it into this `file`")
	f.Uint64Var(&seed, "seed", bootstrapSeed, "seed of the permutations, a whole `number` from 0")
	f.BoolVar(&asJSON, "json", false, "print points and changes as JSON")
	return cmd
}

func history(stdout *os.File, args []string, measure, svg string, seed uint64, asJSON bool) error {
	measures := compare.Family()
	if measure != "" {
		m, err := compare.ParseMeasure(measure)
		if err != nil {
			return usageErrorf("--measure %w", err)
		}
		measures = []compare.Measure{m}
	}
	var files []string
	for _, arg := range args {
		found, err := recordsIn(arg)
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	drawing := &outfile.File{Path: svg, Kind: "a drawing of smtpbench", Marks: []string{"<svg"}, Inputs: files}
	if svg != "" {
		if err := drawing.Check(); err != nil {
			return usageErrorf("--svg: %w", err)
		}
	}
	progress := newReading(os.Stderr)
	var runs []*compare.Run
	for i, file := range files {
		progress.say(fmt.Sprintf("record %d of %d", i+1, len(files)))
		run, err := readRun(file, 0)
		if err != nil {
			progress.end()
			return err
		}
		runs = append(runs, run)
	}
	histories, err := compare.Histories(runs, measures, seed)
	progress.end()
	if err != nil {
		return inputOr(err)
	}
	if svg != "" {
		if err := written(drawing.Write(historyChart(&histories[0]).SVG)); err != nil {
			return err
		}
	}
	if asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(histories)
	}
	var b strings.Builder
	for i := range histories {
		h := &histories[i]
		for j := range h.Changes {
			b.WriteString(text.Wrap(h.Changes[j].Words(h), text.Columns, "  ") + "\n")
		}
		if len(h.Changes) == 0 {
			b.WriteString(text.Wrap(fmt.Sprintf("%s: no change is shown in %d runs", h.Measure.Words(), len(h.Points)), text.Columns, "  ") + "\n")
		}
		if h.Unusable > 0 {
			b.WriteString(text.Wrap(fmt.Sprintf("  (%d more have no such figure: too few messages, or work that was dropped hides it)", h.Unusable), text.Columns, "  ") + "\n")
		}
	}
	_, err = fmt.Fprint(stdout, smtp.VisibleLines(b.String()))
	return err
}

func historyChart(h *compare.History) *plot.Chart {
	var values, levels []float64
	for _, p := range h.Points {
		values = append(values, p.Value)
	}
	var changes []int
	for i, c := range h.Changes {
		changes = append(changes, c.Index)
		if i == 0 {
			levels = append(levels, c.Before)
		}
		levels = append(levels, c.Now)
	}
	return plot.History("history", h.Measure.Words(), h.Unit, values, changes, levels)
}
