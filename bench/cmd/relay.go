package cmd

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/queue"
	"github.com/smtpstorm/xk6-smtp/bench/relay"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

func newRelayCommand(stdout *os.File) *cobra.Command {
	cfg := relay.Config{Policy: queue.Policy{First: time.Second, Minimal: time.Second, Factor: 2, Max: 10 * time.Second, Lifetime: 10 * time.Minute, Concurrency: 20}}
	var lies []string
	listing := outfile.File{Kind: "a listing of a queue", Marks: []string{`"recipient":"`}}
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "run a small relay that is truthful, or lies on purpose",
		Long: `relay takes messages by SMTP and delivers them, and its notifications (DSNs), to one next hop, until it gets SIGINT or SIGTERM. It retries after
1 s, 2 s and so on up to 10 s, for 10 minutes. With --lie it does wrong an exact number of times. Both addresses must be of loopback. With --queue
its queue can be seen: smtpbench run --queue-command 'cat FILE'.`,
		Example: `  smtpbench relay --lie lose=2/200 --lie duplicate=3
  smtpbench run --target 127.0.0.1:2600 --sink-listen 127.0.0.1:2526`,
		Args: arguments(0, 0, "flags only"),
		RunE: func(*cobra.Command, []string) error {
			for _, text := range lies {
				l, err := relay.ParseLie(text)
				if err != nil {
					return usageErrorf("--lie: %w", err)
				}
				cfg.Lies = append(cfg.Lies, l)
			}
			for _, flag := range [...]struct{ name, address string }{{"--listen", cfg.Listen}, {"--next-hop", cfg.NextHop}} {
				host, port, err := net.SplitHostPort(flag.address)
				if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
					return usageErrorf("%s: %q is no address of loopback (want one such as 127.0.0.1:2600)", flag.name, flag.address)
				}
			}
			if listing.Path != "" {
				if err := listing.Check(); err != nil {
					return usageErrorf("--queue: %w", err)
				}
			}
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			r, err := relay.Start(cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "relay    %s -> %s\n", r.Addr(), cfg.NextHop)
			err = errors.Join(list(r, listing, signals), r.Close())
			fmt.Fprintf(stdout, "ended    %d messages in the queue; lies told: %s\n", r.Depth(), toldLies(r.Told()))
			return err
		},
	}
	cmd.Flags().StringVar(&cfg.Listen, "listen", "127.0.0.1:2600", "`address` to take messages at")
	cmd.Flags().StringVar(&cfg.NextHop, "next-hop", "127.0.0.1:2526", "`address` that all mail goes to")
	cmd.Flags().StringArrayVar(&lies, "lie", nil, fmt.Sprintf("tell the lie `KIND=COUNT[/OF]` of COUNT of the first OF messages; may be repeated; kinds: %s", relay.Kinds()))
	cmd.Flags().StringVar(&listing.Path, "queue", "", "keep a listing of the queue in `FILE` (JSON Lines), at most half a second old")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "ended by a signal"}, cli.Exit{Status: exitFailed, Meaning: "it could not listen, or not write the listing"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
}

// toldLies says how often each lie was told.
func toldLies(told map[relay.Kind]int) string {
	if len(told) == 0 {
		return "none"
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(told)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, told[kind]))
	}
	return strings.Join(parts, ", ")
}

// list keeps the listing of a relay's queue, if one is wanted, until a signal.
func list(r *relay.Relay, to outfile.File, signals <-chan os.Signal) error {
	if to.Path == "" {
		<-signals
		return nil
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := to.Write(r.WriteQueue); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-signals:
			return nil
		}
	}
}
