package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/bookfiles"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// judging is what judge is told.
type judging struct {
	ledgers, dsns         []string
	queue, incidents, log string
	units, failOn         string
	options               reconcile.Options
	asJSON                bool
}

func newJudgeCommand(stdout *os.File) *cobra.Command {
	var j judging
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "say again what became of every message of a run",
		Long: `judge reads the files that a run leaves in its directory: sent.jsonl, ledger.jsonl (and ledger-*.jsonl), and what there is of
queue.jsonl, dsn.jsonl or dsn/*.eml, incidents.jsonl and mta.jsonl. Every (message, recipient) gets one fate, and what is wrong is listed as
findings, as smtpbench run does it: the same files give the same verdict. A flag takes the place of the file of its name.
docs/books.md says what each word means.`,
		Example: `  smtpbench judge results/latest
  postqueue -j > queue.json; smtpbench judge results/latest --queue queue.json
  smtpbench judge results/latest --fail-on lost,duplicated --json`,
		Args: arguments(1, 1, "the directory of a run"),
		RunE: func(_ *cobra.Command, args []string) error { return j.judge(stdout, args[0]) },
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "the books are sound"}, cli.Exit{Status: exitFailed, Meaning: "there are faults"},
		cli.Exit{Status: exitUsage, Meaning: "a file is missing or bad"}, cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "units are undetermined: not enough is known"})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&j.queue, "queue", "", "`file` of what the sender's queue holds at the end, taken as complete: JSON Lines, postqueue -j, exim -bp or smtpctl show queue")
	f.StringArrayVar(&j.dsns, "dsn", nil, "`file` of all notifications that the sender gave: JSON Lines, or one as it came (.eml); may be repeated")
	f.StringVar(&j.incidents, "incidents", "", "`file` of what was done to the sender, and when")
	f.StringVar(&j.log, "mta-log", "", "`file` of the MTA's own log as events")
	f.StringArrayVar(&j.ledgers, "ledger", nil, "`file` of a ledger; may be repeated: of several sinks, or the parts of a rotated one")
	f.StringVar(&j.units, "units", "", "`file` to write a line to for each (message, recipient), with its fate")
	f.DurationVar(&j.options.IncidentWindow, "incident-window", reconcile.DefaultIncidentWindow, "how long before an incident a reply may have been sent that the sender forgot by it")
	f.DurationVar(&j.options.MinimalBackoff, "minimal-backoff", 0, "how soon after a deferral the sender's policy lets it try again; 0: not judged")
	f.StringVar(&j.failOn, "fail-on", "faults,undetermined", "`names` of what fails: faults, undetermined, queued, none, or findings such as lost,duplicated,altered,dsn")
	f.BoolVar(&j.asJSON, "json", false, "print the result as JSON")
	return cmd
}

func (j *judging) judge(stdout io.Writer, dir string) (err error) {
	if j.options.FailOn, err = reconcile.ParseFailOn(j.failOn); err != nil {
		return usageErrorf("--fail-on: %w", err)
	}
	if j.options.IncidentWindow < 0 || j.options.MinimalBackoff < 0 {
		return usageErrorf("--incident-window and --minimal-backoff: want 0 or more")
	}
	files, err := bookfiles.Find(dir)
	if err != nil {
		return badBooks(err)
	}
	for _, f := range []struct {
		given string
		to    *string
	}{{j.queue, &files.Queue}, {j.incidents, &files.Incidents}, {j.log, &files.Log}} {
		if f.given != "" {
			*f.to = f.given
		}
	}
	if len(j.dsns) > 0 {
		files.DSNs = j.dsns
	}
	if len(j.ledgers) > 0 {
		files.Ledgers = j.ledgers
	}
	result, err := j.result(&files)
	if err != nil {
		return badBooks(err)
	}
	if j.asJSON {
		encoded, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s\n", encoded)
	} else {
		var b strings.Builder
		if err := result.WriteText(&b); err != nil {
			return err
		}
		fmt.Fprint(stdout, text.PaletteFor(stdout).Lines(b.String()))
	}
	if result.Verdict.Exit != reconcile.ExitSound {
		return statusError(result.Verdict.Exit)
	}
	return nil
}

// result judges, and writes the units where they are wanted.
func (j *judging) result(files *bookfiles.Files) (result *reconcile.Result, err error) {
	if j.units == "" {
		return files.Judge(nil, j.options)
	}
	out := outfile.File{Path: j.units, Kind: "a file of units", Marks: []string{`"fate":"`}, Inputs: files.Names()}
	if err := out.Check(); err != nil {
		return nil, &usageError{err}
	}
	err = out.Write(func(w io.Writer) (err error) {
		result, err = files.Judge(w, j.options)
		return err
	})
	return result, err
}

// badBooks makes an error in a file one of usage.
func badBooks(err error) error {
	var input *jsonl.InputError
	if errors.As(err, &input) {
		return &usageError{err}
	}
	return err
}
