package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/run"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
)

func newJudgeCommand(stdout *os.File) *cobra.Command {
	var r runfiles.Request
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "say again what became of every message of a run",
		Long: `judge reads the files that a run leaves in its directory: sent.jsonl, ledger.jsonl (and ledger-*.jsonl), and what there is of
queue.jsonl, dsn.jsonl or dsn/*.eml, incidents.jsonl and mta.jsonl; of a run with several legs, those in the directory of each (calm, storm,
mta). Every (message, recipient) gets one fate, and what is wrong is listed as findings, as smtpbench run does it: the same files give the
same verdict. Where several k6 took the load together (scripts/segments.sh), their records lie there, too: run.json, or run-*.json beside
sent-*.jsonl; one that is missing, or that ended early, leaves the verdict undetermined. A flag takes the place of the file of its name; to use one with a run of several legs, name the directory of a leg.
docs/reconciliation.md says what each word means.`,
		Example: `  smtpbench judge results/latest
  postqueue -j > queue.json
  smtpbench judge results/latest/mta --queue queue.json
  smtpbench judge results/latest --fail-on lost,duplicated --json`,
		Args: arguments(1, 1, "the directory of a run"),
		RunE: func(_ *cobra.Command, args []string) error { return judge(stdout, args[0], &r) },
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "the verdict is sound"}, cli.Exit{Status: exitFailed, Meaning: "there are faults"},
		cli.Exit{Status: exitUsage, Meaning: "a file is missing or bad"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "units are undetermined, or not all of the load was carried out"},
		cli.Exit{Status: reconcile.ExitThresholds, Meaning: "the verdict is sound, and thresholds of the script were crossed"})
	f := cmd.Flags()
	f.SortFlags = false
	r.Flags(f)
	f.StringArrayVar(&r.Files.Ledgers, "ledger", nil, "`file` of a ledger; may be repeated: of several sinks, or the parts of a rotated one")
	return cmd
}

func judge(stdout io.Writer, dir string, r *runfiles.Request) error {
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	files, err := run.FindFiles(dir, r.Files.Ledgers...)
	if err != nil {
		return badFiles(err)
	}
	if named := r.Files.Names(); len(named) > 0 && len(files.Legs) > 1 {
		return usageErrorf("%s is of one leg, and %s has %d: name the directory of a leg, such as %s", named[0], dir, len(files.Legs), files.Legs[len(files.Legs)-1].Dir())
	}
	var inputs []string
	for i := range files.Legs {
		leg := &files.Legs[i]
		leg.Files = r.Named(leg.Files)
		inputs = append(inputs, leg.Files.Names()...)
	}
	result, err := r.Judge(stdout, inputs, func(units io.Writer) (*reconcile.Result, error) { return files.Judge(units, r.Options) })
	if err != nil {
		return badFiles(written(err))
	}
	if result.Verdict.Exit != reconcile.ExitSound {
		return statusError(result.Verdict.Exit)
	}
	return nil
}

// badFiles makes an error in a file one of usage.
func badFiles(err error) error {
	var input *jsonl.InputError
	if errors.As(err, &input) {
		return &usageError{err}
	}
	return err
}

// failOn reads the value of a flag --fail-on.
func failOn(list string) (reconcile.FailOn, error) {
	f, err := reconcile.ParseFailOn(list)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--fail-on: %w", err)}
	}
	return f, nil
}
