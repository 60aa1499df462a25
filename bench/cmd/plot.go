package cmd

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/compare"
	"github.com/smtpstorm/xk6-smtp/bench/plot"
	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func newPlotCommand(stdout *os.File) *cobra.Command {
	var figure, svg, png string
	cmd := &cobra.Command{
		Use:   "plot RECORD.json... [-- B...]",
		Short: "draw one figure of records, or of a comparison",
		Long: `plot draws one figure of the pages that report and compare write. Without --figure it lists the figures that these records have. One to four records are drawn together, as report does; groups
parted by --, or the directory of smtpbench run --runs, as compare does.`,
		Example: `  smtpbench plot results/latest/calm.json results/latest/storm.json
  smtpbench plot results/latest/storm.json \
    --figure curve-smtp_msg_duration > curve.svg
  smtpbench plot --figure shift-smtp_msg_duration-accepted --png shift.png \
    results/ab
  smtpbench plot --figure heat-B old/ -- new/ > heat.svg`,
		Args: arguments(1, math.MaxInt, "records, or two groups of them with -- between"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if figure == "" && (svg != "" || png != "") {
				return usageErrorf("--svg and --png go with --figure: without it, plot lists the figures")
			}
			charts, inputs, err := chartsOf(args, cmd.ArgsLenAtDash())
			if err != nil {
				return err
			}
			if len(charts) == 0 {
				return usageErrorf("plot: there is nothing to draw in %s", strings.Join(inputs, " "))
			}
			if figure == "" {
				return listCharts(stdout, charts)
			}
			return drawChart(stdout, charts, figure, svg, png, inputs)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "drawn, or listed"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad, or has no such figure: nothing was written"})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&figure, "figure", "", "`name` of the figure (default: list those that there are)")
	f.StringVar(&svg, "svg", "", "draw it into this `file` (default: SVG to the standard output)")
	f.StringVar(&png, "png", "", "draw it into this `file` as PNG")
	cli.Values(cmd, "figure")
	return cmd
}

// chartsOf returns the charts of a comparison where the arguments are groups, and of a report otherwise; and the files that were read.
func chartsOf(args []string, dash int) ([]*plot.Chart, []string, error) {
	if !areGroups(args, dash) {
		if len(args) > mostReported {
			return nil, nil, usageErrorf("plot: %d records: want one to four, or two groups with -- between", len(args))
		}
		r, err := readReport(args)
		if err != nil {
			return nil, nil, err
		}
		charts, err := report.Charts(r)
		return charts, args, err
	}
	groups, err := sides(args, dash)
	if err != nil {
		return nil, nil, err
	}
	progress := newReading(os.Stderr)
	a, b, err := readSides(groups, 0, progress)
	if err != nil {
		return nil, nil, err
	}
	result, err := compare.Compare(a, b, compare.Options{Seed: bootstrapSeed, Progress: progress.say})
	progress.end()
	if err != nil {
		return nil, nil, inputOr(err)
	}
	return report.ComparisonCharts(report.Comparison{Result: result}), slices.Concat(groups[0], groups[1]), nil
}

func listCharts(stdout *os.File, charts []*plot.Chart) error {
	var t text.Table
	for _, c := range charts {
		t.Row(c.Name, c.Title)
	}
	_, err := fmt.Fprint(stdout, t.String())
	return err
}

func drawChart(stdout *os.File, charts []*plot.Chart, figure, svg, png string, inputs []string) error {
	i := slices.IndexFunc(charts, func(c *plot.Chart) bool { return c.Name == figure })
	if i < 0 {
		var names []string
		for _, c := range charts {
			names = append(names, c.Name)
		}
		return usageErrorf("--figure %q: these records have no such figure (there are: %s)", figure, strings.Join(names, " "))
	}
	chart := charts[i]
	if svg == "" && png == "" {
		if isatty.IsTerminal(stdout.Fd()) {
			return usageErrorf("--figure %s: an SVG is nothing for a terminal: say --svg FILE, or send it elsewhere by > FILE", figure)
		}
		return chart.SVG(stdout)
	}
	type drawing struct {
		flag string
		file *outfile.File
		draw func(io.Writer) error
	}
	var drawings []drawing
	if svg != "" {
		drawings = append(drawings, drawing{"--svg", &outfile.File{Path: svg, Kind: "a drawing of smtpbench", Marks: []string{"<svg"}, Inputs: inputs}, chart.SVG})
	}
	if png != "" {
		drawings = append(drawings, drawing{"--png", &outfile.File{Path: png, Kind: "a drawing of smtpbench", Marks: []string{"PNG"}, Inputs: inputs}, chart.PNG})
	}
	for _, d := range drawings {
		if err := d.file.Check(); err != nil {
			return usageErrorf("%s: %w", d.flag, err)
		}
	}
	for _, d := range drawings {
		if err := written(d.file.Write(d.draw)); err != nil {
			return err
		}
	}
	return nil
}
