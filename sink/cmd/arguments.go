package cmd

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/scripts"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// arguments takes addresses without --listen before them, as Postfix's smtp-sink does; any other word can only be mistaken for a subcommand.
func (o *options) arguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := strconv.ParseUint(args[0], 10, 16); err == nil {
		return usageErrorf("%s: an address is missing (want host:port, such as 127.0.0.1:%s)", args[0], args[0])
	}
	if !strings.Contains(args[0], ":") {
		return &usageError{cli.UnknownCommand(cmd, args[0], "or an address, such as 127.0.0.1:2525; or flags alone, see --help")}
	}
	if cmd.Flags().Changed("listen") {
		return usageErrorf("%s: not together with --listen, which takes as many addresses as you like", args[0])
	}
	o.listen, o.argument = nil, true
	for i, arg := range args {
		if _, err := strconv.Atoi(arg); err == nil && i == len(args)-1 {
			return usageErrorf("%s: unexpected argument (smtp-sink's backlog has no equal here: leave it out)", arg)
		}
		o.listen = append(o.listen, strings.TrimPrefix(arg, "inet:"))
	}
	return nil
}

// completeValues tells shells what flags may be given.
func completeValues(root *cobra.Command) {
	var modes, plans []string
	for m := fault.ModeAccept; m <= fault.ModeRandom; m++ {
		modes = append(modes, m.String())
	}
	for _, p := range scripts.Plans() {
		plans = append(plans, p.Name+"\t"+p.Summary)
	}
	cli.Values(root, "mode", modes...)
	cli.Values(root, "at", stageNames("")...)
	cli.Prefixes(root, "reply", stageNames("=")...)
	cli.Prefixes(root, "delay", stageNames("=")...)
	cli.ValuesOrFiles(root, "plan", plans...)
	cli.Values(root, "driver", "auto", "epoll", "net")
	cli.Values(root, "bare-lf", "reject", "accept")
	cli.Values(root, "durability", "none", "batch", "ack")
	cli.Values(root, "tls", "auto", "always", "never")
	cli.Prefixes(root, "auth", "any:")
	for _, flag := range []string{"weight", "random-accept", "seed", "loops", "hostname", "max-size", "max-recipients", "max-connections", "max-line", "max-header", "max-envelope", "max-domains", "max-discard", "write-timeout", "state-memory", "standing-memory", "idle-timeout", "max-hold",
		"auth-user", "tls-implicit", "lmtp", "drain-timeout", "stats-interval", "ledger-timeout", "control-host", "control-connections", "control-streams", "control-body", "control-claims", "control-events", "control-backlog"} {
		cli.Values(root, flag)
	}
	cli.Prefixes(root, "listen", "127.0.0.1:")
	cli.Prefixes(root, "control", "127.0.0.1:", "unix:")
	cli.Prefixes(root, "metrics-listen", "127.0.0.1:")
}

func stageNames(after string) []string {
	var names []string
	for s := range smtp.NumStages {
		names = append(names, smtp.Stage(s).String()+after)
	}
	return names
}
