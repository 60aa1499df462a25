package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == generateCommand {
		if err := generate(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	program.Main("benchpeers", run)
}

type options struct {
	rounds    int
	scale     float64
	quick     bool
	json      bool
	out       string
	sink      string
	before    string
	workloads string
	servers   string
	curves    bool
	list      bool
}

func (o *options) parse(args []string, help io.Writer) error {
	flags := flag.NewFlagSet("benchpeers", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed once, in main
	flags.IntVar(&o.rounds, "rounds", 7, "interleaved rounds of each workload; six are needed for 95% intervals")
	flags.Float64Var(&o.scale, "scale", 1, "share of the full number of messages in each round, 0.01 to 10: many short rounds suit a noisy machine")
	flags.BoolVar(&o.quick, "quick", false, "a tenth of the load in 3 rounds: to see that it works, not to compare")
	flags.BoolVar(&o.json, "json", false, "print the record as JSON instead of the report")
	flags.StringVar(&o.out, "out", "", "folder for record, report and plots (default results/peers; results/curves with --curves)")
	flags.StringVar(&o.sink, "sink", "", "path of smtpsink (default: beside this program)")
	flags.StringVar(&o.before, "before", "", "path of another build of smtpsink, measured beside it as \"before\"")
	flags.StringVar(&o.workloads, "workloads", "", "the workloads to run, with commas between them (default all)")
	flags.StringVar(&o.servers, "servers", "", "the servers to run, with commas between them (default all that are here)")
	flags.BoolVar(&o.curves, "curves", false, "measure the sink's cost curves instead: over connections, size, recipients, rules")
	flags.BoolVar(&o.list, "list", false, "list workloads and servers")
	flags.Usage = func() {}
	usage := func() {
		flags.SetOutput(help)
		fmt.Fprintf(help, "benchpeers measures the sink beside other SMTP sinks, or its cost curves.\n\nUsage:\n  benchpeers [flags]\n\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage()
		}
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !(o.scale >= 0.01 && o.scale <= 10):
		return fmt.Errorf("--scale %g (want 0.01 to 10)", o.scale)
	case o.rounds < 1 || o.rounds > 1000:
		return fmt.Errorf("--rounds %d (want 1 to 1000)", o.rounds)
	}
	if o.out == "" {
		o.out = filepath.Join("results", map[bool]string{false: "peers", true: "curves"}[o.curves])
	}
	return nil
}

func run(argv []string, stdout, stderr io.Writer) error {
	var o options
	if err := o.parse(argv[1:], stdout); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return program.UsageError{Err: err}
	}
	// The first interrupt ends the measuring, and what there is gets written; a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	programs, err := findPrograms(o.sink)
	if err != nil {
		return err
	}
	programs.before = o.before
	kinds, missing := programs.kinds()
	if kinds, err = only(kinds, o.servers); err != nil {
		return program.UsageError{Err: err}
	}
	chosen, err := choose(o.workloads)
	if err != nil {
		return program.UsageError{Err: err}
	}
	if o.list {
		for _, w := range chosen {
			fmt.Fprintf(stdout, "%-14s %s\n", w.name, w.title)
		}
		for _, k := range kinds {
			fmt.Fprintf(stdout, "%s\n", k.name)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "benchpeers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if programs.certificate, programs.certificateKey, err = makeCertificate(dir); err != nil {
		return err
	}
	h := &harness{programs: programs, kinds: kinds, rounds: o.rounds, scale: o.scale, quick: o.quick, progress: io.Discard}
	if o.quick {
		h.rounds, h.scale = min(h.rounds, 3), min(h.scale, 0.1)
	}
	if f, ok := stderr.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		h.progress = stderr
	}
	command := append([]string{"bin/benchpeers"}, argv[1:]...)
	rec := &record{Schema: 1, Provenance: result.Collect(os.DirFS("/"), time.Now(), command), Rounds: h.rounds, Scale: h.scale, LoadBefore: program.LoadAverage(), Missing: missing}
	programs.versions(rec.Provenance.Versions)
	if o.curves {
		return h.curves(ctx, rec, &o, stdout, stderr)
	}
	for i := range chosen {
		if ctx.Err() != nil {
			break
		}
		start := time.Now()
		out := h.run(ctx, &chosen[i])
		rec.Outcomes = append(rec.Outcomes, out)
		fmt.Fprintf(stderr, "%-14s %s\n", out.Workload, out.line(time.Since(start)))
	}
	rec.finish(ctx)
	if err := rec.write(o.out); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "written: %s\n", filepath.Join(o.out, "peers.md"))
	if o.json {
		return writeJSON(stdout, rec)
	}
	rec.report(stdout)
	return nil
}

func (r *record) finish(ctx context.Context) {
	r.Provenance.Ended, r.LoadAfter, r.Interrupted = time.Now(), program.LoadAverage(), ctx.Err() != nil
}

// line is a workload's result in one line, for who waits.
func (o *outcome) line(took time.Duration) string {
	var parts []string
	for _, server := range o.Servers {
		var values []float64
		for _, v := range o.values(server) {
			values = append(values, v)
		}
		if len(values) > 0 {
			parts = append(parts, server+" "+number(estimateOf(values).Median))
		}
	}
	parts = append(parts, o.Failures...)
	return fmt.Sprintf("%s (%s; %s)", strings.Join(parts, ", "), o.Unit, took.Round(time.Second))
}

func choose(names string) ([]workload, error) {
	all := workloads()
	if names == "" {
		return all, nil
	}
	var valid []string
	for i := range all {
		valid = append(valid, all[i].name)
	}
	var out []workload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(valid, name)
		if i < 0 {
			return nil, fmt.Errorf("unknown workload %q (valid: %s)", name, strings.Join(valid, " "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// versions adds those of the peers.
func (p *programs) versions(versions map[string]string) {
	if info, err := buildinfo.ReadFile(p.peer); err == nil {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/panjf2000/gnet/v2":
				versions[nameGnet] = dep.Version
			case "github.com/emersion/go-smtp":
				versions[nameGoSMTP] = dep.Version
			}
		}
	}
	if path, err := lookPath("postconf"); err == nil {
		if out, err := exec.Command(path, "-d", "-h", "mail_version").Output(); err == nil { // #nosec G204 -- postconf as lookPath found it
			versions["postfix"] = strings.TrimSpace(string(out))
		}
	}
	if python := pythonWith("aiosmtpd"); python != "" {
		if out, err := exec.Command(python, "-c", "import aiosmtpd; print(aiosmtpd.__version__)").Output(); err == nil { // #nosec G204 -- a Python that pythonWith names
			versions[nameAio] = strings.TrimSpace(string(out))
		}
	}
}
