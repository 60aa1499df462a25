package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/bench/storm"
	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/runfiles"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

func newStormCommand(host Host, stdout *os.File) *cobra.Command {
	var o storm.Options
	var fails string
	var backoff time.Duration
	var outside storm.Outside
	asJSON := false
	cmd := &cobra.Command{
		Use:   "storm --mta MTA --storm STORM",
		Short: "put a real MTA's retry queue through a bounce storm, and judge every message",
		Long: `storm starts a private instance of an MTA on loopback, whose next hop is a sink that misbehaves as the storm says, submits messages at
fixed instants before, during and after the storm, watches the queue grow and drain, and says of every message what became of it: delivered, bounced,
still queued, lost, duplicated. The MTA retries after 5, 5, 10, 20 and 40 s; the seed draws the storm's end over one longest pause. It takes one to
three minutes. The results have what it is judged by (sent.jsonl, ledger.jsonl, queue.jsonl, dsn.jsonl, mta.jsonl: smtpbench judge reads them again), a line for each message
in units.jsonl, and the figures in storm.json.

A storm is one of those that are built in (smtpbench storm list), by its number or name, or a plan file with phases.`,
		Example: `  smtpbench storm --mta postfix --storm outage-421
  smtpbench storm --mta exim --storm S8 --messages 400 --seed 7 --out results/s8
  smtpbench storm list`,
		Args: knownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := cmd.Flags().Changed
			switch {
			case outside.Address == "" && (outside.Listen != "" || outside.QueueCommand != "" || outside.Log != "" || outside.LogFormat != ""):
				return usageErrorf("--sink-listen, --queue-command, --log and --log-format go with --mta-address")
			case outside.Address != "" && outside.Listen == "":
				return usageErrorf("--sink-listen is missing: the next hop of the MTA at %s", outside.Address)
			case (outside.Log == "") != (outside.LogFormat == ""):
				return usageErrorf("--log and --log-format go together (formats: %s)", strings.Join(mtalog.Formats(), " "))
			case outside.LogFormat != "" && !slices.Contains(mtalog.Formats(), outside.LogFormat):
				return usageErrorf("--log-format %s: unknown (valid: %s)", outside.LogFormat, strings.Join(mtalog.Formats(), " "))
			case o.MTA == "" && outside.Address == "":
				return usageErrorf("storm: --mta is missing (valid: %s)", strings.Join(mta.Names(), " "))
			case o.Storm == "":
				return usageErrorf("storm: --storm is missing: a plan file, or one of %s", scripts.Names(scripts.Storms()))
			case given("messages") && o.Messages == 0:
				return usageErrorf("--messages 0: want 1 or more")
			case given("rate") && !(o.Rate > 0):
				return usageErrorf("--rate %v: want messages per second, more than 0", o.Rate)
			case o.Config != "" && given("backoff"):
				return usageErrorf("--backoff and --config exclude each other: the file has the policy")
			case given("cutoff") && o.Cutoff <= 0:
				return usageErrorf("--cutoff %v: want a duration above 0, such as 90s", o.Cutoff)
			}
			if given("backoff") {
				if backoff <= 0 {
					return usageErrorf("--backoff %v: want whole seconds, 1s or more", backoff)
				}
				o.Policy = mta.Policy{MinimalBackoff: backoff, MaximalBackoff: backoff}
			}
			if outside.Address != "" {
				o.Outside = &outside
			}
			var err error
			if o.Judge.FailOn, err = failOn(fails); err != nil {
				return err
			}
			if !given("out") {
				o.Out = fmt.Sprintf("results/storm/%s-%s-%d", cmp.Or(o.MTA, "outside"), strings.TrimSuffix(lastElement(o.Storm), ".yaml"), o.Seed)
			}
			return runStorm(host, o, stdout, asJSON)
		},
	}
	cmd.AddCommand(newStormListCommand(stdout), newStormReportCommand(stdout))
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.MTA, "mta", "", "`name` of the MTA: "+strings.Join(mta.Names(), ", ")+"; smtpbench mta list says which are ready")
	f.StringVar(&o.Storm, "storm", "", "the `storm`: S1, outage-421, or a plan file with phases")
	f.IntVar(&o.Messages, "messages", 200, "messages, a tenth of them before the storm and a tenth after it")
	f.Float64Var(&o.Rate, "rate", 50, "messages per second, a `number`")
	f.DurationVar(&o.Cutoff, "cutoff", 0, "how long to watch after the storm's end (default one longest pause and 15 s)")
	f.DurationVar(&backoff, "backoff", 0, "one `pause` between all attempts, in whole seconds, instead of 5, 5, 10, 20, 40 s; the storm's end is drawn over it")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of all draws, of the storm's end, too: a whole `number` from 0")
	f.StringVar(&o.Out, "out", "", "`directory` of the results, a new or empty one (default results/storm/MTA-STORM-SEED)")
	f.StringVar(&o.Config, "config", "", "your own main configuration `file` (Postfix's main.cf): its policy and limits are kept, what says where it lives, listens and relays to is left aside, and shown")
	f.StringVar(&outside.Address, "mta-address", "", "instead of --mta: `host:port` of an MTA of this machine that runs already, and whose next hop is the sink")
	f.StringVar(&outside.Listen, "sink-listen", "", "with --mta-address: `host:port` of the sink")
	f.StringVar(&outside.QueueCommand, "queue-command", "", "with --mta-address: `command` that lists its queue, run by a shell every 5 s: as postqueue -j, exim -bp, smtpctl show queue or JSON Lines")
	f.StringVar(&outside.Log, "log", "", "with --mta-address: `file` of its log, of which the lines from then on are read")
	f.StringVar(&outside.LogFormat, "log-format", "", "with --log: `name` of the MTA, as in smtpbench mta log")
	f.StringVar(&fails, "fail-on", "faults,undetermined", runfiles.FailOnUsage)
	f.BoolVar(&asJSON, "json", false, "print the record as JSON; progress goes to standard error")
	var storms []string
	for _, s := range scripts.Storms() {
		storms = append(storms, s.Name+"\t"+s.Summary)
	}
	cli.ValuesOrFiles(cmd, "storm", storms...)
	cli.Values(cmd, "mta", mta.Names()...)
	for _, flag := range []string{"messages", "rate", "cutoff", "backoff", "seed", "fail-on", "mta-address", "sink-listen", "queue-command", "log", "log-format"} {
		cli.Values(cmd, flag)
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "sound: every message is accounted for"},
		cli.Exit{Status: exitFailed, Meaning: "there are faults, such as messages that were lost, duplicated or changed; or something went wrong on the way"},
		cli.Exit{Status: exitUsage, Meaning: "bad input, an MTA that is missing, or a storm that can't be had with it: nothing was written"},
		cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "no fault, but not enough is known of some messages: also after the first Ctrl-C"},
		cli.Exit{Status: exitInterrupted, Meaning: "ended at once by a signal; nothing was written"})
}

// lastElement is what follows the last slash.
func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func newStormListCommand(stdout *os.File) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the storms that are built in",
		Long:  "list names the storms that are built in. smtpsink check explains one in words; the comment of its file says what it copies and what to look for.",
		Example: `  smtpbench storm list
  smtpsink check outage-421`,
		Args: arguments(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(stdout, scripts.List(scripts.Storms()))
			return err
		},
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "listed"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
}

func newStormReportCommand(stdout *os.File) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "write one page over all storms of a directory: MTAs in rows, storms in columns",
		Long: `report reads the results of smtpbench storm in a directory and those below it, writes storms.html there: a matrix of MTAs and storms, the worst
finding first, and a table for each storm, with links to the pages of the runs.`,
		Example: `  smtpbench storm report results/storms`,
		Args:    arguments(1, 1, "a directory with results"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := storm.WriteReport(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(stdout, "report   %s\n", path)
			return err
		},
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "written"}, cli.Exit{Status: exitFailed, Meaning: "the page can't be written"}, cli.Exit{Status: exitUsage, Meaning: "there are no results, or one can't be read"})
}

// oneCore is up to how many messages a second one core is more than enough for source and sink. Threads that wake one another cost them more CPU
// than their work then, which they would take from the MTA.
const oneCore = 200

// runStorm runs a storm. The first signal ends it early, with what was measured; the second at once.
func runStorm(host Host, o storm.Options, stdout *os.File, asJSON bool) error {
	ctx, stop, release := stopOnSignals()
	defer release()
	o.Watchdog = host.watchdog()
	if os.Getenv("GOMAXPROCS") == "" && o.Rate <= oneCore {
		runtime.GOMAXPROCS(1)
	}
	console := stdout
	if asJSON {
		console = os.Stderr
	}
	o.CommandLine, o.Console, o.Stop = os.Args, console, stop
	if isatty.IsTerminal(console.Fd()) {
		o.Terminal, o.Width = true, 80
		if width, _, err := term.GetSize(int(console.Fd())); err == nil { // #nosec G115 -- a descriptor is a C int
			o.Width = width
		}
	}
	started := time.Now()
	record, err := storm.Run(ctx, o)
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "smtpbench: interrupted; nothing was written")
		return statusError(exitInterrupted)
	case err != nil:
		return err
	}
	if asJSON {
		encoded, err := json.MarshalIndent(record, "", " ")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(stdout, "%s\n", encoded); err != nil {
			return err
		}
	} else if err := storm.WriteText(stdout, record); err != nil {
		return err
	}
	out := strings.TrimSuffix(o.Out, "/")
	fmt.Fprintf(console, "%sreport   %s/%s\nrecords  %s/\ntook     %.0f s\n", text.Labelled("verdict", record.Judgement.Verdict.Sentence), out, storm.PageFile, out, time.Since(started).Seconds())
	if exit := record.Judgement.Verdict.Exit; exit != 0 {
		return statusError(exit)
	}
	return nil
}
