package cmd

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func newMergeCommand(stdout *os.File) *cobra.Command {
	var out, label string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge A.json B.json... --out MERGED.json",
		Short: "make one record of those of several generators",
		Long: `merge adds up the records that several k6 wrote while they drove the same system at the same time, on as many machines: counts add up, the histograms of latencies
merge without loss, so that a percentile is that of all messages, and windows that overlap become one. Where each record has a sink of its own (k6/x/smtp/sink), these
add up, too.

Each k6 judged its thresholds on its own messages alone. They are judged again on the merged figures, and the exit status says what came of it. Repeated runs
are not merged but compared: see smtpbench compare.`,
		Example: `  smtpbench merge load-1.json load-2.json load-3.json --out all.json
  smtpbench merge load-*.json --out all.json --label nightly
  smtpbench merge load-*.json --json | jq .latency`,
		Args: arguments(2, math.MaxInt, "two records or more"),
		RunE: func(_ *cobra.Command, files []string) error { return merge(stdout, files, out, label, asJSON) },
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "merged, and every threshold holds"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad, or they can't be of one run: nothing was written"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "merged, and not all of the load was carried out: a generator ended early, or a part of the load has no record"},
		cli.Exit{Status: reconcile.ExitThresholds, Meaning: "merged, and a threshold is crossed by the merged figures"})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&out, "out", "", "write the merged record to this `file`, for smtpbench join, report and compare")
	f.StringVar(&label, "label", "", "`name` of the merged run in tables (default: the first record's)")
	f.BoolVar(&asJSON, "json", false, "print the figures as JSON instead of tables")
	return cmd
}

func merge(stdout *os.File, files []string, out, label string, asJSON bool) error {
	if err := checkOutputs(out, "", files); err != nil {
		return err
	}
	var records []*result.Record
	for _, file := range files {
		record, err := readRecord(file)
		if err != nil {
			return err
		}
		if record.Client == nil {
			return usageErrorf("record %s has no client part: merge takes those of k6", file)
		}
		for j, other := range records {
			if sameRun(other, record) {
				return usageErrorf("%s and %s are records of one run: its messages would count twice", files[j], file)
			}
		}
		records = append(records, record)
	}
	merged, err := result.Merge(records...)
	if err != nil {
		return usageErrorf("%w", err)
	}
	if label != "" {
		merged.Label = label
	}
	if merged.Label == "" {
		merged.Label = "merged"
	}
	if out != "" {
		if err := written(recordFile(out, files).Write(merged.Encode)); err != nil {
			return err
		}
	}
	page := pageFile("", nil)
	if err := render(stdout, report.Report{Title: "smtpstorm: " + merged.Label, Legs: []*result.Record{merged}, Intervals: compare.IntervalOptions{Seed: bootstrapSeed}}, page, asJSON); err != nil {
		return err
	}
	why := merged.Load.Stopped
	if merged.Load.Interrupted {
		why = cmp.Or(why, "a generator was interrupted")
	}
	var crossed []string
	for _, t := range merged.Load.Thresholds {
		if !t.OK {
			crossed = append(crossed, t.Metric+" "+t.Expression)
		}
	}
	var last strings.Builder
	if len(crossed) > 0 && !asJSON {
		fmt.Fprintf(&last, "\nthresholds crossed by the merged figures: %s\n", strings.Join(crossed, "; "))
	}
	if why != "" && !asJSON {
		fmt.Fprintf(&last, "\nnot all of the load was carried out: %s\n", why)
	}
	if _, err := io.WriteString(stdout, last.String()); err != nil {
		return err
	}
	switch {
	case why != "":
		return statusError(reconcile.ExitUndetermined)
	case len(crossed) > 0:
		return statusError(reconcile.ExitThresholds)
	}
	return nil
}

// sameRun reports whether two records were written by one k6.
func sameRun(a, b *result.Record) bool {
	return !a.Provenance.Started.IsZero() && a.Provenance.Started.Equal(b.Provenance.Started) && a.Provenance.Ended.Equal(b.Provenance.Ended)
}
