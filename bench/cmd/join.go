package cmd

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/bench/run"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func newJoinCommand(stdout *os.File) *cobra.Command {
	var o run.JoinOptions
	var out, html string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "join K6.json [K6.json ...] SINK.json [SINK.json ...]",
		Short: "join the records of k6 and sinks that ran as processes of their own",
		Long: `join puts the two halves of a run together: the record that k6 writes (k6 run -o smtpstorm=K6.json) and the counters that smtpsink prints
at its end (smtpsink --json > SINK.json). Per stage and code it holds what the plan's weights lead to expect (planned) and what the sink
said (injected) against what the clients read (observed). Any difference but replies in flight is named, and the exit status is 1.

Several k6, on as many machines, may have driven the sink at the same time: name the records of all. Their counts add up, their latencies
become one distribution, and the sink must have served them and nobody else. So may several sinks behind one name, of one plan, have taken the load:
name the counters of all. A sink that runs within k6 (k6/x/smtp/sink) needs no join: its record is complete.`,
		Example: `  smtpsink --listen 127.0.0.1:2525 --plan bounce-storm --json > sink.json &
  smtpbench scripts bounce-storm --write .
  k6 run -o smtpstorm=run.json bounce-storm.js; kill %1; wait
  smtpbench join run.json sink.json --plan bounce-storm --out joined.json
  smtpbench join load-1.json load-2.json load-3.json sink.json
  smtpbench join load-1.json load-2.json sink-1.json sink-2.json
  smtpbench join run.json sink.json --json | jq '.legs[0].reconciliation.rows'
  smtpbench join run.json sink.json --mta 'Postfix 3.10' --html report.html`,
		Args: arguments(2, math.MaxInt, "the record of k6, or those of several, and the counters of smtpsink, or those of several"),
		RunE: func(_ *cobra.Command, files []string) error {
			o.Files = files
			inputs := append(slices.Clone(files), o.Plan)
			if err := checkOutputs(out, html, inputs); err != nil {
				return err
			}
			leg, err := run.Join(o)
			if err != nil {
				return err
			}
			return presentJoined(stdout, leg, recordFile(out, inputs), pageFile(html, inputs), asJSON)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "every injected reply was observed, or was in flight at the end"},
		cli.Exit{Status: exitFailed, Meaning: "some were not, and nothing explains it"}, cli.Exit{Status: exitUsage, Meaning: "bad input: nothing was written"})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&out, "out", "", "write the joined record to this `file`, for smtpbench report and compare")
	f.StringVar(&o.Plan, "plan", "", "plan `file`, or name of a built-in plan, that the sink must have run; its text goes into the record")
	f.StringVar(&o.MTA, "mta", "", "`name` of the mail transfer agent between k6 and the sink, whose replies are not the sink's and are not compared")
	f.StringVar(&o.Label, "label", "", "`name` of the run in tables (default: the plan's)")
	f.StringVar(&html, "html", "", "also write a self-contained report to this `file`")
	f.BoolVar(&asJSON, "json", false, "print the figures as JSON instead of tables")
	return cmd
}

// presentJoined writes and prints a joined run. A difference that nothing explains is a failure.
func presentJoined(stdout io.Writer, leg *run.Leg, out, page *outfile.File, asJSON bool) error {
	if out.Path != "" {
		if err := written(out.Write(leg.Record.Encode)); err != nil {
			return err
		}
	}
	full := report.Report{Title: "smtpstorm: " + leg.Record.Label, Generated: time.Now(), Legs: []*result.Record{leg.Record}, Intervals: compare.IntervalOptions{Seed: bootstrapSeed}}
	if err := render(stdout, full, page, asJSON); err != nil {
		return err
	}
	verdict := report.Judge(full.Legs, full.Judge).Verdict
	if !asJSON {
		if _, err := fmt.Fprintln(stdout); err != nil {
			return err
		}
		if err := run.WriteReplies(stdout, []*run.Leg{leg}); err != nil {
			return err
		}
		if _, err := fmt.Fprint(stdout, "\n"+text.PaletteFor(stdout).Lines(text.Labelled("verdict", verdict.Sentence))); err != nil {
			return err
		}
	}
	if verdict.Exit != reconcile.ExitSound {
		return statusError(verdict.Exit)
	}
	return nil
}
