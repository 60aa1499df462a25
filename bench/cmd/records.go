package cmd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
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

func newReportCommand(stdout *os.File) *cobra.Command {
	var html string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report RECORD.json... [-- B...]",
		Short: "render one to four run records, or a comparison of two groups",
		Long: `report prints tables of one to four runs; the others are compared with the first. Two groups of runs with -- between, or the directory of smtpbench run --runs, are compared
with the defaults of smtpbench compare, which has more to say about that.`,
		Example: `  smtpbench report results/latest/mta.json
  smtpbench report results/latest/calm.json results/latest/storm.json \
    --html report.html
  smtpbench report --html ab.html results/ab
  smtpbench report --html diff.html old/ -- new/`,
		Args: arguments(1, math.MaxInt, "one to four record files, or two groups with -- between"),
		RunE: func(cmd *cobra.Command, files []string) error {
			if areGroups(files, cmd.ArgsLenAtDash()) {
				f := compareFlags{margin: defaultMargin, marginShare: defaultMarginShare, html: html, asJSON: asJSON, options: compare.Options{Seed: bootstrapSeed}}
				return f.run(stdout, cmd, files)
			}
			if len(files) > mostReported {
				return usageErrorf("report: got %d arguments, want one to four record files, or two groups with -- between", len(files))
			}
			if err := checkOutputs("", html, files); err != nil {
				return err
			}
			r, err := readReport(files)
			if err != nil {
				return err
			}
			return render(stdout, r, pageFile(html, files), asJSON)
		},
	}
	cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed, whatever the records say"}, cli.Exit{Status: exitUsage, Meaning: "a record is missing or bad: nothing was written"})
	cmd.Flags().StringVar(&html, "html", "", "also write a self-contained report to this `file`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the figures as JSON instead of tables")
	return cmd
}

// mostReported is how many runs a report has at most.
const mostReported = 4

// areGroups tells groups of runs from single ones: -- parts them, or one directory holds them all.
func areGroups(args []string, dash int) bool {
	if dash >= 0 || len(args) != 1 {
		return dash >= 0
	}
	info, err := os.Stat(args[0])
	return err == nil && info.IsDir()
}

// readReport reads records; those without a label, or with the label of an earlier one, are named after their files.
func readReport(paths []string) (report.Report, error) {
	var records []*result.Record
	for _, path := range paths {
		record, err := readRecord(path)
		if err != nil {
			return report.Report{}, err
		}
		records = append(records, record)
	}
	return reportOf(paths, records), nil
}

// reportOf makes a report of records, whose labels it changes as readReport says.
func reportOf(paths []string, records []*result.Record) report.Report {
	r := report.Report{Title: "smtpstorm", Generated: time.Now(), Intervals: compare.IntervalOptions{Seed: bootstrapSeed}, Legs: records}
	labels := map[string]bool{}
	for i, record := range records {
		switch {
		case record.Label == "":
			record.Label = paths[i]
		case labels[record.Label]:
			record.Label += " (" + paths[i] + ")"
		}
		labels[record.Label] = true
	}
	return r
}

// readRecord reads a record that the user names.
func readRecord(path string) (*result.Record, error) {
	record, err := result.Read(path)
	if err != nil {
		return nil, usageErrorf("%s", unreadable(path, err))
	}
	return record, nil
}

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

// render prints a report and writes its page, if that has a path.
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

// sides parts the arguments into the files of A and B: at the dash, or else one each, or else by what the records of one directory say.
func sides(args []string, dash int) (groups [2][]string, err error) {
	switch {
	case dash < 0 && len(args) == 2:
		dash = 1
	case dash < 0 && len(args) == 1:
		return experiment(args[0])
	case dash < 0:
		return groups, usageErrorf("%d arguments and no -- that parts A from B: smtpbench compare A... -- B...", len(args))
	case dash == 0 || dash == len(args):
		return groups, usageErrorf("no record on one side of --")
	}
	for _, arg := range args[dash:] {
		if strings.HasPrefix(arg, "-") {
			return groups, usageErrorf("%s stands behind the -- that parts the sides: flags go before it", arg)
		}
	}
	for i, part := range [][]string{args[:dash], args[dash:]} {
		for _, arg := range part {
			files, err := recordsIn(arg)
			if err != nil {
				return groups, err
			}
			groups[i] = append(groups[i], files...)
		}
	}
	return groups, nil
}

// recordsIn lists the records of a directory, in the order of their names; a file stands for itself.
func recordsIn(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, nil // readRecord says what is wrong with it
	}
	names, err := filepath.Glob(filepath.Join(escapeGlob(path), "*.json"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if isRecord(name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, usageErrorf("directory %s holds no run records (smtpbench run and join, and k6 run -o smtpstorm=FILE, write them)", path)
	}
	return out, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// isRecord looks whether a file begins like a record: a directory of results has other JSON, too.
func isRecord(path string) bool {
	f, err := os.Open(path) // #nosec G304 -- in a directory that the user names
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head)
	return strings.Contains(string(head[:n]), `"`+result.SchemaPrefix)
}

// experiment lists the records of a directory of smtpbench run --runs, whose sides they name themselves.
func experiment(dir string) (groups [2][]string, err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return groups, usageErrorf("one argument, and %s is no directory of smtpbench run --runs: smtpbench compare A... -- B...", dir)
	}
	groups[0], err = recordsIn(dir)
	return groups, err
}

// part parts the runs of an experiment by the sides that they name.
func part(runs []*compare.Run) (a, b *compare.Side, err error) {
	a, b = &compare.Side{}, &compare.Side{}
	for _, r := range runs {
		switch d := r.Design; {
		case d == nil:
			return nil, nil, usageErrorf("%s does not say which side it is of: it is no record of smtpbench run --runs; part the sides by --", r.Path)
		case d.Side == result.SideA:
			a.Runs = append(a.Runs, r)
		default:
			b.Runs = append(b.Runs, r)
		}
	}
	if len(a.Runs) == 0 || len(b.Runs) == 0 {
		return nil, nil, usageErrorf("all of the %d records of %s are of one side", len(runs), filepath.Dir(runs[0].Path))
	}
	return a, b, nil
}

// readSides reads and reduces the records, as many at a time as there are processors: all of them whole would not fit into memory. Without records of
// B, those of A say themselves which side they are of.
func readSides(groups [2][]string, warmUp time.Duration, p *reading) (a, b *compare.Side, err error) {
	files := append(append([]string(nil), groups[0]...), groups[1]...)
	runs, errs := make([]*compare.Run, len(files)), make([]error, len(files))
	next, done := make(chan int), make(chan struct{})
	workers := min(runtime.GOMAXPROCS(0), len(files))
	for range workers {
		go func() {
			for i := range next {
				runs[i], errs[i] = readRun(files[i], warmUp)
			}
			done <- struct{}{}
		}()
	}
	for i := range files {
		p.say(fmt.Sprintf("record %d of %d", i+1, len(files)))
		next <- i
	}
	close(next)
	for range workers {
		<-done
	}
	for _, err := range errs { // the first file's, whichever was read first
		if err != nil {
			p.end()
			return nil, nil, err
		}
	}
	if n := len(groups[0]); n < len(files) {
		return &compare.Side{Runs: runs[:n:n]}, &compare.Side{Runs: runs[n:]}, nil
	}
	return part(runs)
}

func readRun(file string, warmUp time.Duration) (*compare.Run, error) {
	record, err := readRecord(file)
	if err != nil {
		return nil, err
	}
	run, err := compare.Reduce(file, record, warmUp, false)
	if err != nil {
		return nil, &usageError{err}
	}
	return run, nil
}

// reading says on a terminal what a long command is at, and elsewhere once in ten seconds.
type reading struct {
	w        *os.File
	terminal bool
	last     time.Time
	live     bool
}

func newReading(w *os.File) *reading {
	return &reading{w: w, terminal: isatty.IsTerminal(w.Fd()), last: time.Now()}
}

func (p *reading) say(step string) {
	switch {
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[Kcompare  %s", step)
		p.live = true
	case time.Since(p.last) > 10*time.Second:
		fmt.Fprintf(p.w, "compare  %s\n", step)
		p.last = time.Now()
	}
}

func (p *reading) end() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
