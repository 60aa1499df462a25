package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/peers/program"
	"github.com/smtpstorm/xk6-smtp/bench/result"
)

func main() { program.Main("benchsoak", run) }

// options is the command line.
type options struct {
	duration, warmup time.Duration
	rate, senders    int
	rogues, swaps    int
	seed             uint64
	sink, out, keep  string
	json             bool
}

func (o *options) parse(args []string, help io.Writer) error {
	flags := flag.NewFlagSet("benchsoak", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed once, in main
	flags.DurationVar(&o.duration, "duration", time.Hour, "how long")
	flags.DurationVar(&o.warmup, "warm-up", 0, "how much of it is not looked at for memory (default a third, 15 minutes at most)")
	flags.IntVar(&o.rate, "rate", 200, "messages a second that are accounted for")
	flags.IntVar(&o.senders, "senders", 16, "connections that send them")
	flags.IntVar(&o.rogues, "rogues", 12, "misbehaving clients at a time")
	flags.IntVar(&o.swaps, "swaps", 10, "plans a second")
	flags.Uint64Var(&o.seed, "seed", 1, "of what clients and plans do")
	flags.StringVar(&o.sink, "sink", "", "path of smtpsink (default: beside this program)")
	flags.StringVar(&o.out, "out", "", "folder for record and report (default: none)")
	flags.StringVar(&o.keep, "keep", "", "folder for ledger and claims, which takes about a kilobyte a message (default: one that is removed)")
	flags.BoolVar(&o.json, "json", false, "print the record as JSON instead of the report")
	flags.Usage = func() {}
	usage := func() {
		flags.SetOutput(help)
		fmt.Fprintf(help, "benchsoak runs a sink for long under everything at once: flat memory, nothing leaked, every message accounted for?\n\nUsage:\n  benchsoak [flags]\n\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage()
		}
		return err
	}
	if o.warmup == 0 {
		o.warmup = min(o.duration/3, 15*time.Minute)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.duration < 5*time.Second:
		return fmt.Errorf("--duration %v (want 5s or more)", o.duration)
	case o.warmup < 0 || o.warmup >= o.duration:
		return fmt.Errorf("--warm-up %v (want less than --duration)", o.warmup)
	case o.rate < 1 || o.senders < 1 || o.rogues < 0 || o.swaps < 1 || o.swaps > 1000:
		return errors.New("--rate, --senders and --swaps want 1 or more (at most 1000 swaps), --rogues 0 or more")
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
	if o.sink == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.sink = filepath.Join(filepath.Dir(self), "smtpsink")
	}
	// The first interrupt ends the load, and what was sent until then is judged; a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	dir := o.keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "benchsoak-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	provenance := result.Collect(os.DirFS("/"), time.Now(), append([]string{"bin/benchsoak"}, argv[1:]...))
	before := program.LoadAverage()
	rec, err := soak(ctx, &o, dir, stderr)
	if err != nil {
		return err
	}
	provenance.Ended = time.Now()
	rec.Provenance, rec.LoadBefore, rec.LoadAfter, rec.Interrupted = provenance, before, program.LoadAverage(), ctx.Err() != nil
	if o.out != "" {
		if err := program.WriteRecord(o.out, "soak", rec, rec.report); err != nil {
			return err
		}
		if err := rec.writeSamples(filepath.Join(o.out, "soak.csv")); err != nil {
			return err
		}
	}
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", " ")
		err = encoder.Encode(rec)
	} else {
		rec.report(stdout)
	}
	if n := len(rec.Findings); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d findings: %s", n, rec.Findings[0]))
	}
	return err
}
