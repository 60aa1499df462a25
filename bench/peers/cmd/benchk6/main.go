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

func main() { program.Main("benchk6", run) }

type options struct {
	rounds, messages, vus, size int
	idle, idleRounds            int
	quick, json                 bool
	server, k6, out             string
}

func (o *options) parse(args []string, help io.Writer) error {
	flags := flag.NewFlagSet("benchk6", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed once, in main
	flags.IntVar(&o.rounds, "rounds", 7, "interleaved rounds; six are needed for 95% intervals")
	flags.IntVar(&o.messages, "messages", 150_000, "messages of each run")
	flags.IntVar(&o.vus, "vus", 100, "VUs of k6, and sessions of smtp-source")
	flags.IntVar(&o.size, "size", 1024, "octets of a message")
	flags.IntVar(&o.idle, "idle", 1000, "idle connections for the measurement of memory, one per VU; 0 leaves it out")
	flags.IntVar(&o.idleRounds, "idle-rounds", 3, "measurements of memory")
	flags.BoolVar(&o.quick, "quick", false, "3,000 messages in 2 rounds, 100 idle connections: to see that it works, not to compare")
	flags.BoolVar(&o.json, "json", false, "print the record as JSON instead of the report")
	flags.StringVar(&o.server, "server", "sink", "what takes the messages: sink, or canned, the baseline of benchpeers")
	flags.StringVar(&o.k6, "k6", "", "path of k6 with the extension (default: beside this program)")
	flags.StringVar(&o.out, "out", filepath.Join("results", "k6"), "folder for record and report")
	flags.Usage = func() {}
	usage := func() {
		flags.SetOutput(help)
		fmt.Fprintf(help, "benchk6 measures k6 with the extension beside smtp-source.\n\nUsage:\n  benchk6 [flags]\n\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			usage()
		}
		return err
	}
	if o.quick {
		o.rounds, o.messages, o.idle, o.idleRounds = 2, 3000, min(o.idle, 100), 1
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1 || o.rounds > 1000:
		return fmt.Errorf("--rounds %d (want 1 to 1000)", o.rounds)
	case o.vus < 1 || o.vus > 5000:
		return fmt.Errorf("--vus %d (want 1 to 5000)", o.vus)
	case o.messages < 2*o.vus:
		return fmt.Errorf("--messages %d (want at least 2 per VU)", o.messages)
	case o.size < 512 || o.size > 1<<24:
		return fmt.Errorf("--size %d (want 512 to 16777216)", o.size)
	case o.idle < 0 || o.idle > 10_000 || o.idleRounds < 1 || o.idleRounds > 100:
		return fmt.Errorf("--idle %d, --idle-rounds %d (want 0 to 10000, 1 to 100)", o.idle, o.idleRounds)
	case o.server != serverSink && o.server != serverCanned:
		return fmt.Errorf("--server %q (valid: %s %s)", o.server, serverSink, serverCanned)
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b, err := newBench(&o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	command := append([]string{"bin/benchk6"}, argv[1:]...)
	rec := &record{Schema: 1, Provenance: result.Collect(os.DirFS("/"), time.Now(), command), Server: o.server, Rounds: o.rounds, Messages: o.messages,
		VUs: o.vus, Size: o.size, IdleConnections: o.idle, LoadBefore: program.LoadAverage()}
	if err := b.rounds(ctx, rec); err != nil {
		return err
	}
	if err := b.memory(ctx, rec); err != nil {
		return err
	}
	rec.Provenance.Ended, rec.LoadAfter = time.Now(), program.LoadAverage()
	rec.judge()
	if err := rec.write(o.out); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "written: %s\n", filepath.Join(o.out, "k6.md"))
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", " ")
		return e.Encode(rec)
	}
	rec.report(stdout)
	return nil
}
