package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/bench/result"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// bootstrapSeed makes intervals reproducible: the same records give the same figures.
const bootstrapSeed = 1

func newCompareCommand(stdout *os.File) *cobra.Command {
	return newRecordsCommand(stdout, arguments(2, 2, "two record files: A.json B.json"), &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "compare two run records",
		Long: `compare prints the latencies of two runs side by side, each with its difference and the interval that covers what varied within
the runs. One run a side names no winner: what varies from run to run shows only in repeated runs.`,
		Example: `  smtpbench compare results/latest/calm.json results/latest/storm.json
  smtpbench compare old.json new.json --html diff.html
  smtpbench compare old.json new.json --json | jq .latency`,
	})
}

func newReportCommand(stdout *os.File) *cobra.Command {
	return newRecordsCommand(stdout, arguments(1, 4, "one to four record files"), &cobra.Command{
		Use:   "report RECORD.json...",
		Short: "render one to four run records",
		Long:  `report prints tables of one to four runs; the others are compared with the first.`,
		Example: `  smtpbench report results/latest/mta.json
  smtpbench report results/latest/calm.json results/latest/storm.json \
    --html report.html`,
	})
}

// newRecordsCommand completes a command that reads record files and renders them.
func newRecordsCommand(stdout *os.File, args cobra.PositionalArgs, cmd *cobra.Command) *cobra.Command {
	var html string
	var asJSON bool
	cmd.Args = args
	cmd.RunE = func(_ *cobra.Command, files []string) error {
		if err := checkOutputs("", html, files); err != nil {
			return err
		}
		r, err := readReport(files)
		if err != nil {
			return err
		}
		return render(stdout, r, pageFile(html, files), asJSON)
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed, whatever the records say"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad: nothing was written"})
	cmd.Flags().StringVar(&html, "html", "", "also write a self-contained report to this `file`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the figures as JSON instead of tables")
	return cmd
}

// readReport reads records; those without a label, or with the label of an earlier one, are named after their files.
func readReport(paths []string) (report.Report, error) {
	r := report.Report{Title: "smtpstorm", Generated: time.Now(), Intervals: compare.Options{Seed: bootstrapSeed}}
	labels := map[string]bool{}
	for _, path := range paths {
		record, err := result.Read(path)
		if err != nil {
			return r, usageErrorf("%s", unreadable(path, err))
		}
		switch {
		case record.Label == "":
			record.Label = path
		case labels[record.Label]:
			record.Label += " (" + path + ")"
		}
		labels[record.Label] = true
		r.Legs = append(r.Legs, record)
	}
	return r, nil
}

// render prints a report and writes its page, if that has a path.
// unreadable says what is wrong with a record, and where one comes from.
func unreadable(path string, err error) string {
	var p *os.PathError
	var schema *result.SchemaError
	switch {
	case errors.As(err, &p):
		return fmt.Sprintf("record %s can't be read: %v (smtpbench run and join, and k6 run -o smtpstorm=FILE, write records)", path, p.Err)
	case errors.As(err, &schema):
		return "record " + err.Error()
	}
	return fmt.Sprintf("record %v (want a record of smtpbench run or join, or of k6 run -o smtpstorm=FILE)", err)
}

func render(stdout io.Writer, r report.Report, page *outfile.File, asJSON bool) error {
	if page.Path != "" {
		if err := written(page.Write(func(w io.Writer) error { return report.HTML(w, r) })); err != nil {
			return err
		}
	}
	if asJSON {
		return report.JSON(stdout, r)
	}
	var b strings.Builder
	if err := report.Text(&b, r); err != nil {
		return err
	}
	_, err := io.WriteString(stdout, text.PaletteFor(stdout).Lines(b.String()))
	return err
}
