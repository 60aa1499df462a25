package cmd

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/run"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func newCapacityCommand(host Host, stdout *os.File) *cobra.Command {
	c := run.Capacity{}
	o := run.Options{Capacity: &c}
	var precision float64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "find the highest rate of messages at which the quality of service holds",
		Long: `capacity offers mail as it comes (Poisson arrivals, sizes and recipients of the SPECmail2001 profile, a connection for each message) at one rate after another: it doubles the
rate until the quality holds no more, bisects what is left, and confirms what it found at 80, 100 and 120% of it in longer trials. The capacity is that of the sink with --plan, of a private
Postfix with --mta, or of your own MTA with --target.

The quality holds when at least 95% of each step take at most 5 s (the body: and a second for each 3,000 octets), 95% of the accepted messages are at the sink within 60 s, and at most 1% of
the messages fail. Where k6 could not offer the load, that is said, and no limit of the system. None of it is a SPEC result.

Ctrl-C ends the search: the bounds that were known until then are printed and written.`,
		Example: `  smtpbench capacity --plan my-limits.yaml
  smtpbench capacity --mta postfix --from 100 --duration 20s
  smtpbench capacity --target 127.0.0.1:25 --sink-listen 127.0.0.1:2526 \
    --queue-command 'postqueue -j' --to 500
  smtpbench capacity --env SIZE=10000 --json | jq .capacity_per_s`,
		Args: arguments(0, 0, "no argument: the script is the built-in workload (smtpbench scripts workload)"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := cmd.Flags().Changed
			switch {
			case given("duration") && c.Trial <= 0, given("confirm") && c.Confirm <= 0:
				return usageErrorf("--duration %v, --confirm %v: want positive durations such as 10s", c.Trial, c.Confirm)
			case given("vus") && o.VUs == 0:
				return usageErrorf("--vus 0: want 1 or more")
			case given("mta") && o.Target != "":
				return usageErrorf("--mta %s and --target exclude each other: the target is the MTA", o.MTA)
			case o.MTA != run.MTANone && o.MTA != run.MTAPostfix:
				return usageErrorf("--mta %q: unknown mail transfer agent (valid: none postfix)", o.MTA)
			}
			c.Precision = precision / 100
			o.SeedSet = given("seed")
			console := stdout
			if asJSON {
				console = os.Stderr
			}
			outcome, err := runLegs(host, o, console)
			if asJSON && outcome != nil {
				enc := json.NewEncoder(stdout)
				enc.SetIndent("", "  ")
				if err := enc.Encode(outcome.Capacity); err != nil {
					return err
				}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&c.From, "from", 50, "the first `rate`, in messages per second")
	f.IntVar(&c.To, "to", 10_000, "the highest `rate` that is tried, in messages per second")
	f.Float64Var(&precision, "precision", 5, "how far apart the rates that hold and don't hold may be at the end, in `percent`")
	f.DurationVar(&c.Trial, "duration", 0, "how long the load of a trial lasts (default 10s)")
	f.DurationVar(&c.Confirm, "confirm", 0, "how long the load of a trial lasts that confirms (default three times --duration)")
	f.StringVar(&o.Plan, "plan", "", "what the sink does: a plan `file` (YAML), or the name of a built-in one (default calm)")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of arrivals, sizes, recipients, and of the plan, a whole `number` from 0")
	f.StringVar(&o.MTA, "mta", run.MTANone, "go through a private `MTA`: postfix, or none")
	f.StringVar(&o.Target, "target", "", "`host:port` of your own MTA, which relays to the sink")
	f.StringVar(&o.SinkListen, "sink-listen", "", "with --target: `host:port` of the sink, the MTA's next hop")
	f.BoolVar(&o.OwnTarget, "i-own-this-target", false, "vouch that a --target beyond loopback is yours to load")
	f.StringVar(&o.QueueCommand, "queue-command", "", "with --target: `command` that lists the MTA's queue")
	f.IntVar(&o.VUs, "vus", 0, "`number` of slots that may be under way at the same time (default 500)")
	f.StringArrayVar(&o.Env, "env", nil, "`NAME=VALUE` for the script's __ENV, such as SIZE=10000; repeatable")
	f.StringVar(&o.Out, "out", "results/capacity", "`directory` of the results; an earlier run's, an empty or a new one: anything else is refused")
	f.StringVar(&o.K6, "k6", "", "k6 `binary` with the smtp extension (default: beside smtpbench, or bin/k6)")
	f.StringVar(&o.Scripts, "scripts", "", "`directory` of workload.js and plans/ (default: those of the project's checkout if you are in it, or else what is built in)")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON; progress and table go to stderr")
	cli.Values(cmd, "mta", run.MTANone, run.MTAPostfix)
	cli.Prefixes(cmd, "target", "127.0.0.1:")
	cli.Prefixes(cmd, "sink-listen", "127.0.0.1:")
	var plans []string
	for _, p := range scripts.Plans() {
		plans = append(plans, p.Name+"\t"+p.Summary)
	}
	cli.ValuesOrFiles(cmd, "plan", plans...)
	for _, flag := range []string{"from", "to", "precision", "duration", "confirm", "seed", "vus", "env", "queue-command"} {
		cli.Values(cmd, flag)
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "found and confirmed, or at least --to"},
		cli.Exit{Status: exitFailed, Meaning: "the quality holds at no rate, or something went wrong on the way"},
		cli.Exit{Status: exitUsage, Meaning: "bad input: nothing was started or written"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "not confirmed, limited by k6, or interrupted: the bounds are printed"},
		cli.Exit{Status: exitInterrupted, Meaning: "ended at once by a signal, or before the first trial had ended"})
}
