package cmd

import (
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
)

func newExportCommand(stdout *os.File) *cobra.Command {
	var benchfmt bool
	cmd := &cobra.Command{
		Use:   "export --benchfmt RECORD.json|DIR...",
		Short: "write records in the format of another tool",
		Long: `export writes run records in Go's benchmark format, a line for each phase and outcome of each run, so that benchstat reads them. What a run can't tell (too few
messages for a percentile, or work that was dropped hides it) is left out. smtpbench compare knows more of the runs: blocks, dropped work, shares.`,
		Example: `  smtpbench export --benchfmt main/ > main.txt
  smtpbench export --benchfmt branch/ > branch.txt
  benchstat main.txt branch.txt`,
		Args: arguments(1, math.MaxInt, "records, or directories of records"),
		RunE: func(_ *cobra.Command, args []string) error {
			if !benchfmt {
				return usageErrorf("export: say in which format (valid: --benchfmt)")
			}
			return exportBenchfmt(stdout, args)
		},
	}
	cmd.Flags().BoolVar(&benchfmt, "benchfmt", false, "Go's benchmark format, for benchstat")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "written"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad: nothing was written"})
}

// exportBenchfmt writes https://go.dev/design/14313-benchmark-format. All records are read before anything is written.
func exportBenchfmt(stdout *os.File, args []string) error {
	var b strings.Builder
	for _, arg := range args {
		files, err := recordsIn(arg)
		if err != nil {
			return err
		}
		for _, file := range files {
			run, err := readRun(file, 0)
			if err != nil {
				return err
			}
			benchLines(&b, run)
		}
	}
	_, err := fmt.Fprint(stdout, b.String())
	return err
}

func benchLines(b *strings.Builder, run *compare.Run) {
	for _, key := range run.SortedKeys() {
		name := "BenchmarkSMTP/metric=" + key.Metric
		if key.Outcome != compare.Any {
			name += "/outcome=" + strings.ReplaceAll(string(key.Outcome), " ", "-")
		}
		line := ""
		for _, s := range []compare.Statistic{compare.P50, compare.P90, compare.P99, compare.Mean} {
			if v := run.Value(compare.Measure{Key: key, Statistic: s}); v.Usable() {
				line += fmt.Sprintf("\t%.6g %s-ms", v.V, s)
			}
		}
		if line != "" {
			fmt.Fprintf(b, "%s\t%d%s\n", name, run.Histogram(key).Count(), line)
		}
	}
	if run.Attempts == 0 {
		return
	}
	fmt.Fprintf(b, "BenchmarkSMTP/messages\t%d", run.Attempts)
	for _, s := range []compare.Share{compare.ShareFailed, compare.ShareDeferred, compare.ShareBounced} {
		fmt.Fprintf(b, "\t%.6g %s-%%", 100*run.Value(compare.Measure{Share: s}).V, s)
	}
	b.WriteByte('\n')
}
