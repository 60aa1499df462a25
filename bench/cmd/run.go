package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/smtpstorm/xk6-smtp/bench/k6"
	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/run"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

func newRunCommand(host Host, stdout *os.File) *cobra.Command {
	var o run.Options
	var fails, sidesFile string
	var against run.Side
	cmd := &cobra.Command{
		Use:   "run [SCRIPT]",
		Short: "run the main job, a script of your own, or a load through your own MTA",
		Long: `run starts the sink on a free loopback port and drives it with k6: once in calm, once in a storm. Both legs offer the same arrival
rate, at most half of what a short probe measured. What was planned, injected and observed is joined per stage and code; any
difference but replies in flight is named. When Postfix is installed and the user is root, a third leg goes through a private Postfix instance. What
--messages, --vus, --rate, --plan and the other flags of the storm say holds for that leg, too.

A SCRIPT of your own, or another built-in one by its name (see smtpbench scripts), runs in place of calm and bounce-storm. It reads the sink's
address from __ENV.SMTP_HOST and __ENV.SMTP_PORT.

With --target, the load goes to your own MTA, which must relay to the sink at --sink-listen, also the notifications (DSNs) that it sends to
the senders of the load. Only with --queue-command can a message that did not arrive be called lost; without it, it is undetermined.

Every message to every recipient gets one fate, and what is wrong becomes findings (docs/reconciliation.md): they decide verdict and exit status, which
smtpbench judge gives again from the files that the run keeps.

With --runs N and a second side (--against-plan, --against-target, --against-mta, --against-k6, or both sides in a --sides file), the run is an experiment of N blocks: in each both
sides run once, never at the same time, in an order drawn from --seed; both draw with the block's own seed. The sides are compared at
the end, and again by smtpbench compare DIR. With four figures in the primary family it takes 8 blocks to decide. Ctrl-C leaves the finished blocks, and so does an end by
force: the same command goes on after them. A larger N adds blocks to those of an experiment that is complete.

The results take the place of those of an earlier run at the end, as a whole. A directory that holds anything that no run left there is
refused, and so is one into which another run is writing; a symbolic link stays one.

The first Ctrl-C ends the run early and writes what was measured so far; the second ends it at once.`,
		Example: `  smtpbench run
  smtpbench run --messages 50000 --rate 500 --seed 7 --out results/slow
  smtpbench run --plan as-in-the-wild --dashboard
  smtpbench run spike --plan slow-tarpit
  smtpbench run my-test.js --plan my-storm.yaml --env SIZE=100000
  smtpbench run my-test.js --reply 'rcpt=250:90,450:7,550:3' \
    --delay 'data=uniform(5ms,50ms)'
  smtpbench run --runs 8 --plan calm --against-plan tempfail-rcpt-30 \
    --messages 2000 --rate 200 --out results/ab
  smtpbench run --runs 8 --mta postfix --against-mta exim --out results/mtas
  smtpbench run --target 127.0.0.1:25 --sink-listen 127.0.0.1:2526 \
    --rate 50 --messages 1000 --queue-command 'postqueue -j'`,
		Args: arguments(0, 1, "at most one script"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Script = args[0]
			}
			err := checkGiven(cmd, &o)
			if err == nil {
				o.Judge.FailOn, err = failOn(fails)
			}
			if err != nil {
				return err
			}
			if err := giveSides(&o, against, sidesFile); err != nil {
				return err
			}
			o.SeedSet = cmd.Flags().Changed("seed")
			o.Flags.Seed = o.Seed
			_, err = runLegs(host, o, stdout)
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Out, "out", "results/latest", "`directory` of the results; an earlier run's, an empty or a new one: anything else is refused")
	f.IntVar(&o.Messages, "messages", 0, "messages of each leg, exactly (default 20000, or as many as 25 s allow; 1500 through an MTA); a script of yours has it as MESSAGES")
	f.IntVar(&o.VUs, "vus", 0, "clients at the same time (default 500; 100 through an MTA); a script of yours has it as VUS")
	f.Float64Var(&o.Rate, "rate", 0, "messages per second, a whole `number` (default half of the probed capacity, at most 1000; 150 through an MTA); a script of yours has it as RATE, and with --messages the DURATION")
	f.DurationVar(&o.MaxTime, "max-time", 0, "the most that a leg may take (default 1h for a script of yours, else a minute more than its messages take)")
	f.StringArrayVar(&o.Env, "env", nil, "`NAME=VALUE` for the script's __ENV; repeatable")
	f.StringVar(&o.Plan, "plan", "", "the storm: a plan `file` (YAML), or the name of a built-in one (default bounce-storm; through an MTA tempfail-rcpt-30)")
	f.StringVar(&o.Flags.Mode, "mode", "", "instead of a plan: accept, bounce, offline, unavailable or random")
	f.StringArrayVar(&o.Flags.At, "at", nil, "`stage` at which the mode speaks; repeatable (default message)")
	f.StringArrayVar(&o.Flags.Weights, "weight", nil, "`code:weight` of the mode's codes, such as 450:9; repeatable (default 1 each)")
	f.Float64Var(&o.Flags.RandomAccept, "random-accept", 0, "odds to accept in mode random, between 0 and 1 (default 0.5)")
	f.StringArrayVar(&o.Flags.Replies, "reply", nil, "what the storm says at a stage, as `stage=code:weight,...`, such as rcpt=250:90,450:7,550/5.1.1:3; repeatable")
	f.StringArrayVar(&o.Flags.Delays, "delay", nil, "how late it says it, as `stage=delay`, such as data=50ms or 'data=uniform(5ms,50ms)'; repeatable")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of all draws, a whole `number` from 0; it replaces the plan's")
	f.StringVar(&o.MTA, "mta", run.MTAAuto, "the leg through an MTA: postfix, none, or auto (postfix when it is installed, you are root, and no script is given)")
	f.StringVar(&o.Target, "target", "", "`host:port` of your own MTA, to be driven instead of the sink")
	f.StringVar(&o.SinkListen, "sink-listen", "", "with --target: `host:port` of the sink, the MTA's next hop")
	f.BoolVar(&o.OwnTarget, "i-own-this-target", false, "vouch that a --target beyond loopback, or what your script connects to there, is yours to load")
	f.StringVar(&o.QueueCommand, "queue-command", "", "with --target: `command` that lists the MTA's queue, run by a shell every 5 s and twice at the end: what it prints must be as postqueue -j, exim -bp, smtpctl show queue or JSON Lines; a failed one is no listing")
	f.DurationVar(&o.Judge.MinimalBackoff, "minimal-backoff", 0, "with --target: how soon after a deferral the MTA's retry policy lets it try again; what comes sooner is retried-too-soon (default: not judged)")
	f.IntVar(&o.CutoffSeconds, "cutoff", 60, "through an MTA: `seconds` after the last message during which delivery is watched, all of them where its queue can't be seen")
	f.IntVar(&o.Runs, "runs", 0, "an experiment of so many blocks: both sides once in each; it needs a second side")
	f.StringVar(&against.Plan, "against-plan", "", "side B runs with this plan: a `file` (YAML), or the name of a built-in one")
	f.StringVar(&against.Target, "against-target", "", "side B drives the MTA at this `host:port`, side A that at --target")
	f.StringVar(&against.MTA, "against-mta", "", "side B goes through this private `MTA`, side A through that of --mta: postfix exim haraka ... (smtpbench mta list)")
	f.StringVar(&against.K6, "against-k6", "", "side B runs this k6 `binary`")
	f.StringVar(&sidesFile, "sides", "", "YAML `file` with the sides a and b, each with any of: label, plan, target, mta, k6, env (a list of NAME=VALUE)")
	f.StringVar(&fails, "fail-on", "faults,undetermined,thresholds", runfiles.FailOnUsage)
	f.BoolVar(&o.Dashboard, "dashboard", false, "watch each leg in k6's web dashboard, with tabs for SMTP; a page of each is kept with the results")
	f.StringVar(&o.DashboardListen, "dashboard-listen", "", "`host:port` of the dashboard (default "+k6.DefaultDashboard+"; port 0 takes any free one)")
	f.StringVar(&o.K6, "k6", "", "k6 `binary` with the smtp extension (default: beside smtpbench, or bin/k6)")
	f.StringVar(&o.Scripts, "scripts", "", "`directory` of calm.js, bounce-storm.js and plans/ (default: those of the project's checkout if you are in it, or else what is built in; see smtpbench scripts)")
	completeRun(cmd)
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "sound: every message is accounted for, and every injected reply was observed or in flight at the end"},
		cli.Exit{Status: exitFailed, Meaning: "there are faults, such as messages that were lost, duplicated or changed; or something went wrong on the way"},
		cli.Exit{Status: exitUsage, Meaning: "bad input: nothing was started or written"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "no fault, but not enough is known of some messages, or not all of the load was carried out: also after the first Ctrl-C"},
		cli.Exit{Status: reconcile.ExitThresholds, Meaning: "sound, and thresholds of the script were crossed"},
		cli.Exit{Status: exitInterrupted, Meaning: "ended at once by a signal; no results, but what was sent and seen until then is kept"})
}

// mtaNames lists the MTAs of which there may be private instances.
func mtaNames() (names []string) {
	for _, c := range mta.Find() {
		names = append(names, c.Name)
	}
	return names
}

// completeRun tells shells what flags and scripts may be given.
func completeRun(cmd *cobra.Command) {
	var plans, names []string
	for _, p := range scripts.Plans() {
		plans = append(plans, p.Name+"\t"+p.Summary)
	}
	for _, s := range scripts.Scripts() {
		names = append(names, s.Name+"\t"+s.Summary)
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return names, cobra.ShellCompDirectiveDefault
	}
	cli.ValuesOrFiles(cmd, "plan", plans...)
	cli.ValuesOrFiles(cmd, "against-plan", plans...)
	cli.Prefixes(cmd, "against-target", "127.0.0.1:")
	cli.Values(cmd, "against-mta", mtaNames()...)
	cli.Values(cmd, "mode", "accept", "bounce", "offline", "unavailable", "random")
	cli.Values(cmd, "mta", run.MTAAuto, run.MTAPostfix, run.MTANone)
	var stages, assignments []string
	for s := range smtp.NumStages {
		stages = append(stages, smtp.Stage(s).String())
		assignments = append(assignments, smtp.Stage(s).String()+"=")
	}
	cli.Values(cmd, "at", stages...)
	cli.Prefixes(cmd, "reply", assignments...)
	cli.Prefixes(cmd, "delay", assignments...)
	cli.Prefixes(cmd, "target", "127.0.0.1:")
	cli.Prefixes(cmd, "sink-listen", "127.0.0.1:")
	cli.Prefixes(cmd, "dashboard-listen", k6.DefaultDashboard)
	for _, flag := range []string{"messages", "vus", "rate", "max-time", "env", "weight", "random-accept", "seed", "cutoff", "queue-command", "minimal-backoff", "fail-on", "runs"} {
		cli.Values(cmd, flag)
	}
}

// checkGiven refuses what only the command line tells apart from a default, so that no flag is given in vain.
func checkGiven(cmd *cobra.Command, o *run.Options) error {
	given := cmd.Flags().Changed
	throughMTA := o.Target != "" || given("against-target") || given("against-mta") || given("sides") || o.MTA == run.MTAPostfix || o.MTA == run.MTAAuto && o.Script == ""
	switch {
	case given("runs") && o.Runs == 0:
		return usageErrorf("--runs 0: want 1 or more blocks")
	case given("rate") && !(o.Rate > 0):
		return usageErrorf("--rate %v: want messages per second, more than 0", o.Rate)
	case given("messages") && o.Messages == 0:
		return usageErrorf("--messages 0: want 1 or more")
	case given("vus") && o.VUs == 0:
		return usageErrorf("--vus 0: want 1 or more")
	case given("max-time") && o.MaxTime == 0:
		return usageErrorf("--max-time 0: want a positive duration such as 10m")
	case given("cutoff") && o.CutoffSeconds == 0:
		return usageErrorf("--cutoff 0: want 1 to 3600 seconds")
	case given("minimal-backoff") && o.Judge.MinimalBackoff <= 0:
		return usageErrorf("--minimal-backoff %v: want a positive duration such as 5m", o.Judge.MinimalBackoff)
	case given("cutoff") && !throughMTA:
		return usageErrorf("--cutoff goes with a leg through an MTA: --mta postfix, or --target")
	case given("mta") && o.Target != "":
		return usageErrorf("--mta %s and --target exclude each other: the target is the MTA", o.MTA)
	case given("mta") && o.MTA == run.MTAAuto && o.Script != "":
		return usageErrorf("--mta auto adds no leg to a script of yours: say --mta postfix to drive one with it")
	case given("random-accept") && o.Flags.Mode != "random":
		return usageErrorf("--random-accept goes with --mode random only")
	case given("random-accept") && !(o.Flags.RandomAccept > 0 && o.Flags.RandomAccept < 1):
		return usageErrorf("--random-accept %v: want odds of more than 0 and less than 1", o.Flags.RandomAccept)
	}
	return nil
}

// runLegs runs and prints. The outcome is nil where there is none.
func runLegs(host Host, o run.Options, stdout *os.File) (*run.Outcome, error) {
	ctx, stop, release := stopOnSignals()
	defer release()
	o.Program, _ = os.Executable() // without it, k6 and scripts are looked for in the working directory
	o.Watchdog = host.watchdog()
	if o.K6 == "" {
		o.K6 = host.K6
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
		said := "nothing was written"
		if kept := (*run.KeptError)(nil); errors.As(err, &kept) {
			said = "what was sent and seen until then is kept: smtpbench judge " + kept.Dir
		}
		fmt.Fprintln(os.Stderr, "smtpbench: interrupted; "+said)
		return nil, statusError(exitInterrupted)
	case err != nil:
		return nil, err
	}
	fmt.Fprintf(stdout, "took     %.0f s\n", time.Since(started).Seconds())
	if outcome.Exit != 0 {
		return outcome, statusError(outcome.Exit)
	}
	return outcome, nil
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
