package cmd

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// compareFlags are those of the command compare.
type compareFlags struct {
	options                   compare.Options
	margin, marginShare       float64 // in percent, in points
	warmUp                    time.Duration
	failOn                    []string
	undecided                 string
	html                      string
	asJSON, asCSV, asMarkdown bool
}

// The default margins, in percent and in points.
const (
	defaultMargin      = 5
	defaultMarginShare = 1
)

func newCompareCommand(stdout *os.File) *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare A... -- B...",
		Short: "compare two groups of run records: verdict, table, report",
		Long: `compare says how the runs of B differ from those of A. Each argument is a record, or a directory of records; one directory alone that smtpbench run --runs wrote is
both sides. A run gives one value of each measure, and what varies from run to run is what a difference is held against: exact rank tests,
by block where the records come in blocks.

The primary family is declared: p50 and p99 of the whole message (accepted ones), the share that failed, the share that was deferred, corrected after
Holm. Everything else is exploratory. With --fail-on its criteria are the primary family, and the exit status is decided on their intervals.

One run a side names no winner: it gets each run's percentiles with intervals that cover what varied within the runs.`,
		Example: `  smtpbench compare results/ab
  smtpbench compare --html diff.html old/ -- new/
  smtpbench compare a1.json a2.json a3.json a4.json a5.json -- b/*.json
  smtpbench compare --fail-on 'p99(msg_duration)>+10%' \
    --fail-on 'share(failed)>+1point' --markdown main/ -- branch/ > comment.md
  smtpbench compare results/latest/calm.json results/latest/storm.json`,
		Args: arguments(1, 2000, "the records of A, --, and those of B; or one directory of smtpbench run --runs"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(stdout, cmd, args) },
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed, whatever the records say; with --fail-on: proved to lie within every limit"},
		cli.Exit{Status: exitFailed, Meaning: "--fail-on: proved to be worse than a limit"},
		cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad, or no comparison makes sense: nothing was written"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "--fail-on: undecided, unless --undecided says otherwise"})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.failOn, "fail-on", nil, "`criterion` such as 'p99(msg_duration)>+10%', 'p50(msg_waiting,deferred)>+5ms' or 'share(failed)>+1point'; repeatable")
	flags.StringVar(&f.undecided, "undecided", "", "what an undecided criterion is: `pass` or fail (default: exit status 3)")
	flags.Float64Var(&f.margin, "margin", defaultMargin, "`percent` by which latencies may differ and still be equal")
	flags.Float64Var(&f.marginShare, "margin-share", defaultMarginShare, "`points` by which shares may differ and still be equal")
	flags.DurationVar(&f.warmUp, "warm-up", 0, "how much of the begin of each run is left out, such as 10s (whole windows of a second)")
	flags.BoolVar(&f.options.Saturated, "saturated", false, "name a side although a generator or a sink was saturated")
	flags.Uint64Var(&f.options.Seed, "seed", bootstrapSeed, "seed of random relabellings, a whole `number` from 0")
	flags.StringVar(&f.html, "html", "", "also write a self-contained report to this `file`")
	flags.BoolVar(&f.asJSON, "json", false, "print the figures as JSON")
	flags.BoolVar(&f.asCSV, "csv", false, "print a line for each row as CSV")
	flags.BoolVar(&f.asMarkdown, "markdown", false, "print what fits a pull request")
	cli.Values(cmd, "undecided", "pass", "fail")
	return cmd
}

func (f *compareFlags) run(stdout *os.File, cmd *cobra.Command, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	groups, err := sides(args, cmd.ArgsLenAtDash())
	if err != nil {
		return err
	}
	inputs := append(append([]string(nil), groups[0]...), groups[1]...)
	if err := checkOutputs("", f.html, inputs); err != nil {
		return err
	}
	if len(groups[0]) == 1 && len(groups[1]) == 1 && len(f.failOn) == 0 && !f.asCSV && !f.asMarkdown {
		return f.pair(stdout, groups)
	}
	progress := newReading(os.Stderr)
	a, b, err := readSides(groups, f.warmUp, progress)
	if err != nil {
		return err
	}
	f.options.Progress = progress.say
	result, err := compare.Compare(a, b, f.options)
	progress.end()
	if err != nil {
		return inputOr(err)
	}
	c := report.Comparison{Result: result, Command: commandLine(os.Args)}
	if f.html != "" {
		if err := written(pageFile(f.html, inputs).Write(func(w io.Writer) error { return report.ComparisonHTML(w, c) })); err != nil {
			return err
		}
	}
	if err := f.print(stdout, c); err != nil {
		return err
	}
	return f.exit(result)
}

func (f *compareFlags) check() error {
	formats := 0
	for _, on := range []bool{f.asJSON, f.asCSV, f.asMarkdown} {
		if on {
			formats++
		}
	}
	switch {
	case formats > 1:
		return usageErrorf("--json, --csv and --markdown exclude each other")
	case !(f.margin > 0 && f.margin <= 1000):
		return usageErrorf("--margin %v: want percent, more than 0 and at most 1000", f.margin)
	case !(f.marginShare > 0 && f.marginShare <= 100):
		return usageErrorf("--margin-share %v: want points, more than 0 and at most 100", f.marginShare)
	case f.warmUp < 0:
		return usageErrorf("--warm-up %v: want a duration such as 10s", f.warmUp)
	case f.undecided != "" && f.undecided != "pass" && f.undecided != "fail":
		return usageErrorf("--undecided %q: want pass or fail", f.undecided)
	case f.undecided != "" && len(f.failOn) == 0:
		return usageErrorf("--undecided goes with --fail-on")
	}
	f.options.Margin, f.options.MarginShare = f.margin/100, f.marginShare/100
	for _, text := range f.failOn {
		c, err := compare.ParseCriterion(text)
		if err != nil {
			return usageErrorf("--fail-on %w", err)
		}
		f.options.Criteria = append(f.options.Criteria, c)
	}
	return nil
}

// pair compares two single runs as a report does, with what the comparison has to warn of.
func (f *compareFlags) pair(stdout *os.File, groups [2][]string) error {
	files := append(append([]string(nil), groups[0]...), groups[1]...)
	var records []*result.Record
	var pair [2]*compare.Side
	for _, file := range files {
		record, err := readRecord(file)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	for i, record := range records {
		run, err := compare.Reduce(files[i], record, f.warmUp, true) // with the record's own label, by which a run is known
		if err != nil {
			return &usageError{err}
		}
		pair[i] = &compare.Side{Runs: []*compare.Run{run}}
		if f.warmUp > 0 {
			records[i] = run.Record
		}
	}
	checked, err := compare.Compare(pair[0], pair[1], f.options)
	if err != nil {
		return inputOr(err)
	}
	r := reportOf(files, records)
	for _, w := range checked.Warnings {
		if w.Kind != compare.WarnRun && w.Kind != compare.WarnDropped {
			r.Warnings = append(r.Warnings, w.Text)
		}
	}
	return render(stdout, r, pageFile(f.html, files), f.asJSON)
}

func (f *compareFlags) print(stdout *os.File, c report.Comparison) error {
	switch {
	case f.asJSON:
		return report.ComparisonJSON(stdout, c)
	case f.asCSV:
		return report.ComparisonCSV(stdout, c)
	case f.asMarkdown:
		return report.ComparisonMarkdown(stdout, c)
	}
	var b strings.Builder
	if err := report.ComparisonText(&b, c); err != nil {
		return err
	}
	_, err := io.WriteString(stdout, text.PaletteFor(stdout).Lines(b.String()))
	return err
}

// exit is the exit status of the criteria.
func (f *compareFlags) exit(r *compare.Result) error {
	status := 0
	for _, g := range r.Gates {
		switch {
		case g.State == compare.Worse:
			return statusError(exitFailed)
		case g.State == compare.Open && f.undecided == "fail":
			status = exitFailed
		case g.State == compare.Open && f.undecided == "":
			status = reconcile.ExitUndetermined
		}
	}
	if status != 0 {
		return statusError(status)
	}
	return nil
}

// inputOr makes runs that can't be compared bad input.
func inputOr(err error) error {
	var input *compare.InputError
	if errors.As(err, &input) {
		return &usageError{err}
	}
	return err
}

// commandLine writes the command as a shell takes it.
func commandLine(args []string) string {
	var out []string
	for i, arg := range args {
		if i == 0 {
			arg = "smtpbench"
		}
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$&|;<>()*?[]#~=%`!{}") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		out = append(out, arg)
	}
	return strings.Join(out, " ")
}
