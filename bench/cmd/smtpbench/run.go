package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/smtpstorm/xk6-smtp/bench/run"
)

func newRunCommand(stdout *os.File) *cobra.Command {
	var o run.Options
	cmd := &cobra.Command{
		Use:   "run [SCRIPT.js]",
		Short: "run the main job, a script of your own, or a load through your own MTA",
		Long: `run starts the sink on a free loopback port and drives it with k6: once in calm, once in a storm. Both legs offer the same arrival
rate, at most half of what a short probe measured. What was planned, injected and observed is joined per stage and code; any
difference but replies in flight is named, and the exit status is 1. When Postfix is installed and the user is root, a third leg
goes through a private Postfix instance.

A SCRIPT.js of your own runs in place of the bundled ones. It reads the sink's address from __ENV.SMTP_HOST and __ENV.SMTP_PORT.

With --target, the load goes to your own MTA, which must relay to the sink at --sink-listen; deliveries are counted there.

The first Ctrl-C ends the run early and writes what was measured so far; the second ends it at once.`,
		Example: `  smtpbench run
  smtpbench run --messages 50000 --rate 500 --seed 7 --out results/slow
  smtpbench run --dashboard
  smtpbench run my-test.js --plan my-storm.yaml --env SIZE=100000
  smtpbench run my-test.js --reply 'rcpt=250:90,450:7,550:3' --delay 'data=uniform(5ms,50ms)'
  smtpbench run --target 127.0.0.1:25 --sink-listen 127.0.0.1:2526 --rate 50 --messages 1000`,
		Args: arguments(0, 1, "at most one script"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Script = args[0]
			}
			if cmd.Flags().Changed("rate") && !(o.Rate > 0) {
				return usageErrorf("--rate %v: want messages per second, more than 0", o.Rate)
			}
			o.SeedSet = cmd.Flags().Changed("seed")
			o.Flags.Seed = o.Seed
			return runLegs(o, stdout)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Out, "out", "results/latest", "`directory` of the results; replaced as a whole at the end")
	f.IntVar(&o.Messages, "messages", 0, "messages of each leg, exactly (default 20000, or as many as 25 s allow; 1500 through an MTA)")
	f.IntVar(&o.VUs, "vus", 0, "clients at the same time (default 500; 100 through an MTA)")
	f.Float64Var(&o.Rate, "rate", 0, "messages per second, a whole number (default half of the probed capacity, at most 1000; 150 through an MTA)")
	f.DurationVar(&o.MaxTime, "max-time", 0, "the most that a leg may take (default 1h for your own script)")
	f.StringArrayVar(&o.Env, "env", nil, "`NAME=VALUE` for the script's __ENV; repeatable")
	f.StringVar(&o.Plan, "plan", "", "plan `file` (YAML) of the storm (default plans/bounce-storm.yaml of the scripts)")
	f.StringVar(&o.Flags.Mode, "mode", "", "instead of a plan: accept, bounce, offline, unavailable or random")
	f.StringArrayVar(&o.Flags.At, "at", nil, "`stage` at which the mode speaks; repeatable (default message)")
	f.StringArrayVar(&o.Flags.Weights, "weight", nil, "`code:weight` of the mode's codes, such as 450:9; repeatable (default 1 each)")
	f.Float64Var(&o.Flags.RandomAccept, "random-accept", 0, "odds to accept in mode random, between 0 and 1 (default 0.5)")
	f.StringArrayVar(&o.Flags.Replies, "reply", nil, "`stage=code[/enhanced][:weight],...`, such as rcpt=250:90,450:7,550/5.1.1:3; repeatable")
	f.StringArrayVar(&o.Flags.Delays, "delay", nil, "`stage=delay`, such as data=50ms or 'data=uniform(5ms,50ms)'; repeatable")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of all draws; it replaces the plan's")
	f.StringVar(&o.MTA, "mta", run.MTAAuto, "the leg through an MTA: postfix, none, or auto (postfix when installed and root)")
	f.StringVar(&o.Target, "target", "", "`host:port` of your own MTA, to be driven instead of the sink")
	f.StringVar(&o.SinkListen, "sink-listen", "", "with --target: `host:port` of the sink, the MTA's next hop")
	f.BoolVar(&o.OwnTarget, "i-own-this-target", false, "vouch that a --target beyond loopback, or what your script connects to there, is yours to load")
	f.IntVar(&o.CutoffSeconds, "cutoff", 25, "through an MTA: `seconds` after the last message during which delivery is watched")
	f.BoolVar(&o.Dashboard, "dashboard", false, "watch each leg in k6's web dashboard, with tabs for SMTP; a page of each is kept with the results")
	f.StringVar(&o.DashboardListen, "dashboard-listen", "", "`host:port` of the dashboard (default "+run.DefaultDashboard+"; port 0 takes any free one)")
	f.StringVar(&o.K6, "k6", "", "k6 `binary` with the smtp extension (default: beside smtpbench, or bin/k6)")
	f.StringVar(&o.Scripts, "scripts", "", "`directory` of the bundled scripts (default: ./scripts, or beside smtpbench's directory)")
	return cmd
}

func runLegs(o run.Options, stdout *os.File) error {
	// Without this, a closed pipe would end the program before it has ended what it started.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endings()...)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			fmt.Fprintln(os.Stderr, "\nsmtpbench: stopping; what was measured so far will be written (once more ends at once)")
			close(stop)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	o.Program, _ = os.Executable() // without it, k6 and scripts are looked for in the working directory
	if o.Program != "" {
		o.Watchdog = []string{o.Program, watchdogArgument}
	}
	o.CommandLine = os.Args
	o.Console = stdout
	o.Stop = stop
	if isatty.IsTerminal(stdout.Fd()) {
		o.Terminal = true
		if width, _, err := term.GetSize(int(stdout.Fd())); err == nil {
			o.Width = width
		}
	}
	started := time.Now()
	outcome, err := run.Run(ctx, o)
	switch {
	case err != nil && (stopRequested(stop) || ctx.Err() != nil):
		fmt.Fprintln(os.Stderr, "smtpbench: interrupted; nothing was written")
		return statusError(exitInterrupted)
	case err != nil:
		return err
	}
	fmt.Fprintf(stdout, "took     %.0f s\n", time.Since(started).Seconds())
	switch {
	case outcome.Interrupted:
		return statusError(exitInterrupted)
	case !outcome.OK:
		return statusError(exitFailed)
	}
	return nil
}

// endings are the signals that end a run early: those of a person, a system that goes down, and a terminal that is closed. Who starts a
// program with nohup has it ignore that.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	return signals
}

func stopRequested(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
