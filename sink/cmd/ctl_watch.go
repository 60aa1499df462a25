package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/control/client"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// The commands of ctl that look at what a sink has done.

func (c *ctl) statsCommand() *cobra.Command {
	var since uint64
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "print what was counted since the last reset, or since an earlier answer",
		Example: `  smtpsink ctl stats
  smtpsink ctl stats --json | jq '.result.counts.attempts'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(c, func(ctx context.Context, s steered) (api.Stats, error) {
				if cmd.Flags().Changed("since") {
					return s.Stats(ctx, &since)
				}
				return s.Stats(ctx, nil)
			}, showStats)
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "`number` that an earlier answer has as seq: print the difference")
	return c.sub(cmd)
}

func showStats(w io.Writer, s api.Stats) {
	n, a := s.Counts, s.Counts.Attempts
	fmt.Fprintf(w, "%d %s, %d %s, %d %s: %d delivered, %d deferred, %d bounced, %d unanswered\n", n.Connections, text.Plural(n.Connections, "connection"), n.Messages, text.Plural(n.Messages, "message"),
		a.Total(), text.Plural(a.Total(), "attempt"), a.Delivered, a.Deferred, a.Bounced, a.Unanswered)
	fmt.Fprintf(w, "%d open, epoch %d, plan generation %d, event %d\n", n.Open, s.Epoch, s.Generation, s.Seq)
	var t text.Table
	t.Right = []int{3}
	t.Row("stage", "reply", "cause", "sent")
	for _, r := range n.Replies {
		if r.Sent > 0 {
			reply := fmt.Sprint(r.Code)
			if !r.Enhanced.IsZero() {
				reply += " " + r.Enhanced.String()
			}
			t.Row(r.Stage, reply, r.Cause, r.Sent)
		}
	}
	fmt.Fprint(w, t.String())
}

// queryFlags are flags that become parameters of the same names, with hyphens for underscores.
func queryFlags(cmd *cobra.Command, names map[string]string) func() url.Values {
	values := map[string]*string{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		values[name] = cmd.Flags().String(strings.ReplaceAll(name, "_", "-"), "", names[name])
	}
	return func() url.Values {
		query := url.Values{}
		for name, value := range values {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		return query
	}
}

func (c *ctl) eventsCommand() *cobra.Command {
	follow, count := false, 0
	cmd := &cobra.Command{
		Use:   "events",
		Short: "print events: rows as the ledger has them",
		Long:  `events prints the rows that the sink has in memory, the last 16 MiB, or with --follow those that come, until Ctrl-C or --count. When the connection breaks it goes on where it was; events that are gone meanwhile are told on stderr.`,
		Example: `  smtpsink ctl events --kind attempt --recipient '*@example.org'
  smtpsink ctl events --follow --code 4xx,5xx
  smtpsink ctl events --follow --kind phase --count 1`,
		Args: noArguments,
	}
	query := queryFlags(cmd, map[string]string{
		"kind": "`kinds` of rows, with commas in between, such as attempt,connection", "client": "`address` or network of the client", "sender": "`address`, as plans match it", "recipient": "`address`, as plans match it",
		"code": "reply `codes`, with commas in between, such as 450 or 4xx", "rule": "`name` of a rule, or a cause such as next:n1", "after": "`id` of an event: only those after it",
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print events as they come")
	cmd.Flags().IntVar(&count, "count", 0, "`number` of events after which it ends; 0 means all that are there, or with --follow no end")
	cmd.RunE = func(*cobra.Command, []string) error {
		if count < 0 {
			return usageErrorf("--count: invalid number %d (want 0 or more)", count)
		}
		return c.events(query(), follow, count)
	}
	return c.sub(cmd)
}

// errEnough ends a stream.
var errEnough = errors.New("enough")

func (c *ctl) events(query url.Values, follow bool, count int) error {
	sinks, err := c.sinks()
	if err != nil {
		return err
	}
	if query.Get("after") != "" && len(sinks) > 1 {
		return usageErrorf("--after: an event is of one sink (want one --control)")
	}
	ctx, cancel := interruptible()
	defer cancel()
	var mu sync.Mutex // of what is printed, and how much that was
	printed := 0
	show := func(s steered) func(api.Event) error {
		return func(e api.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if count > 0 && printed == count {
				return errEnough
			}
			printed++
			var err error
			switch {
			case c.json:
				_, err = fmt.Fprintf(c.stdout, "{\"control\":%q,\"id\":%q,\"row\":%s}\n", s.address, e.ID, e.Row)
			case len(sinks) > 1:
				_, err = fmt.Fprintf(c.stdout, "%s %s\n", s.address, e.Row)
			default:
				_, err = fmt.Fprintf(c.stdout, "%s\n", e.Row)
			}
			if err == nil && count > 0 && printed == count {
				cancel()
				return errEnough
			}
			return err
		}
	}
	errs := make([]error, len(sinks))
	var all sync.WaitGroup
	for i, s := range sinks {
		all.Go(func() {
			defer s.Close()
			if !follow {
				errs[i] = s.Events(ctx, query, show(s))
				return
			}
			errs[i] = s.Follow(ctx, query, func() { fmt.Fprintf(c.stderr, "smtpsink: watching %s\n", s.address) }, show(s), func(g api.Gap) error {
				_, err := fmt.Fprintf(c.stderr, "smtpsink: %s: the events from %s to %s are gone\n", s.address, g.From, g.To)
				return err
			})
		})
	}
	all.Wait()
	for i := range errs {
		if errors.Is(errs[i], errEnough) || ctx.Err() != nil && errors.Is(errs[i], ctx.Err()) { // as it was wanted
			errs[i] = nil
		}
	}
	return c.verdict(sinks, errs)
}

func (c *ctl) messagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "messages",
		Short: "list the messages that came, print one as it came, or throw the kept ones away",
		Example: `  smtpsink ctl messages --recipient user@example.org
  smtpsink ctl messages raw ID > message.eml`,
		Args: noArguments,
	}
	query := queryFlags(cmd, map[string]string{ // #nosec G101 -- the words of a help
		"recipient": "`address`, as plans match it", "sender": "`address`, as plans match it", "token": "`ENVID`, or the sender", "storm_id": "`X-Storm-Id`", "message_id": "`Message-ID`",
		"after": "`id` of a message: only those after it", "limit": "`number` of messages, at most (default 100)",
	})
	cmd.RunE = func(*cobra.Command, []string) error {
		return ask(c, func(ctx context.Context, s steered) (api.Messages, error) { return s.Messages(ctx, query()) }, showMessages)
	}
	raw := &cobra.Command{
		Use: "raw ID", Short: "print a captured message as it came (smtpsink --capture keeps them)", Args: oneArgument("the id of a message"),
		Example: "  smtpsink ctl messages raw ID > message.eml",
		RunE: func(_ *cobra.Command, args []string) error {
			if c.json {
				return usageErrorf("raw: a message is no JSON")
			}
			return ask(c, func(ctx context.Context, s steered) ([]byte, error) { return s.Raw(ctx, args[0]) }, func(w io.Writer, message []byte) { _, _ = w.Write(message) })
		},
	}
	clear := &cobra.Command{
		Use: "clear", Short: "throw the captured messages away", Args: noArguments,
		Example: "  smtpsink ctl messages clear",
		RunE: func(*cobra.Command, []string) error {
			return ask(c, func(ctx context.Context, s steered) (struct{}, error) { return struct{}{}, s.DeleteMessages(ctx) }, nil)
		},
	}
	cmd.AddCommand(c.sub(raw), c.sub(clear))
	return c.sub(cmd)
}

func showMessages(w io.Writer, all api.Messages) {
	if all.Missing {
		fmt.Fprintln(w, "older events are gone, and what they told")
	}
	for _, m := range all.Messages {
		kept := ""
		if m.Captured {
			kept = ", kept"
		}
		fmt.Fprintf(w, "%s from <%s>, %d of %d delivered%s\n", m.ID, printableLine(m.Sender), m.Deliveries, len(m.Attempts), kept)
		for _, a := range m.Attempts {
			what := a.Ending
			if a.Code != 0 {
				what = strings.TrimSpace(fmt.Sprintf("%d %s at %s, %s", a.Code, a.Enhanced, a.Stage, a.Cause))
			}
			fmt.Fprintf(w, "    <%s> %s\n", printableLine(a.Recipient), printableLine(what))
		}
	}
}

func (c *ctl) ledgerCommand() *cobra.Command {
	out := ""
	from := int64(0)
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "fetch the sink's ledger",
		Example: `  smtpsink ctl ledger --out ledger.jsonl
  smtpsink ctl ledger | jq -c 'select(.kind == "attempt")'`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			sinks, err := c.sinks()
			switch {
			case err != nil:
				return err
			case len(sinks) > 1:
				return usageErrorf("ledger: there are %d sinks, and each has its own (want one --control)", len(sinks))
			case from < 0:
				return usageErrorf("--from: invalid number %d (want 0 or more)", from)
			}
			ctx, cancel := interruptible()
			defer cancel()
			defer sinks[0].Close()
			fetch := func(w io.Writer) error {
				_, err := sinks[0].Ledger(ctx, from, w)
				return err
			}
			if out == "" {
				err = fetch(c.stdout)
			} else {
				err = (&outfile.File{Path: out, Kind: "a ledger", Marks: []string{`"format":"smtpstorm/ledger/`}}).Write(fetch)
			}
			var unwritable *outfile.Error
			if errors.As(err, &unwritable) {
				return &usageError{err}
			}
			return c.verdict(sinks, []error{err})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write it to, as a whole (default: standard output)")
	cmd.Flags().Int64Var(&from, "from", 0, "`octet` to begin with: what was fetched before is not sent again")
	return c.sub(cmd)
}

func (c *ctl) judgeCommand() *cobra.Command {
	return c.sub(&cobra.Command{
		Use:   "judge CLAIMS",
		Short: "say what became of the messages that a sender claims to have sent",
		Long: `judge has the sink judge by its ledger what became of claims (sent.jsonl, docs/reconciliation.md). With several sinks it fetches the ledger of each and judges by all of them. Without the sender's queue, which ledger reconcile takes, nothing can be called
lost.`,
		Example: `  smtpsink ctl judge sent.jsonl
  smtpsink ctl judge sent.jsonl --control 10.0.0.1:2580 --control 10.0.0.2:2580`,
		Args: oneArgument("a file of claims"),
		RunE: func(_ *cobra.Command, args []string) error { return c.judge(args[0]) },
	}, cli.Exit{Status: 0, Meaning: "the verdict is sound"}, cli.Exit{Status: exitFailed, Meaning: "there are faults, or a sink could not be reached, or has refused"},
		cli.Exit{Status: exitUsage, Meaning: "bad input"}, cli.Exit{Status: reconcile.ExitUndetermined, Meaning: "units are undetermined: not enough is known"})
}

func (c *ctl) judge(name string) error {
	sinks, err := c.sinks()
	if err != nil {
		return err
	}
	claims, err := open(name)
	if err != nil {
		return err
	}
	defer claims.Close()
	ctx, cancel := interruptible()
	defer cancel()
	result := new(reconcile.Result)
	if len(sinks) == 1 {
		raw, err := sinks[0].Judge(ctx, claims)
		sinks[0].Close()
		if err == nil {
			err = json.Unmarshal(raw, result)
		}
		if err != nil {
			return c.verdict(sinks, []error{err})
		}
	} else if result, err = c.judgeAll(ctx, sinks, ledger.Input{Name: name, R: claims}); err != nil {
		return err
	}
	if err := render(c.stdout, c.json, result, result.WriteText); err != nil {
		return err
	}
	if result.Verdict.Exit != reconcile.ExitSound {
		return &verdictError{result.Verdict}
	}
	return nil
}

// judgeAll judges by the ledgers of several sinks.
func (c *ctl) judgeAll(ctx context.Context, sinks []steered, claims ledger.Input) (*reconcile.Result, error) {
	in := reconcile.Inputs{Claims: claims}
	errs := make([]error, len(sinks))
	files := make([]*os.File, len(sinks))
	defer func() {
		for _, file := range files {
			if file != nil {
				_ = file.Close() // it is thrown away
				_ = os.Remove(file.Name())
			}
		}
	}()
	var all sync.WaitGroup
	for i, s := range sinks {
		all.Go(func() {
			defer s.Close()
			if files[i], errs[i] = os.CreateTemp("", "smtpsink-ledger-"+strconv.Itoa(i)+"-"); errs[i] == nil {
				errs[i] = whole(ctx, s.Client, files[i])
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			fmt.Fprintf(c.stderr, "smtpsink: %s: %s\n", sinks[i].address, printableLine(said(err)))
		}
	}
	if err := c.verdict(sinks, errs); err != nil {
		return nil, err
	}
	for i, file := range files {
		in.Ledgers = append(in.Ledgers, ledger.Input{Name: sinks[i].address, R: file})
	}
	result, err := reconcile.Reconcile(in, reconcile.Options{})
	if err != nil {
		return nil, badInput(err)
	}
	return result, nil
}

// whole fetches a ledger, to be read from its beginning.
func whole(ctx context.Context, s *client.Client, file *os.File) error {
	_, err := s.Ledger(ctx, 0, file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	return err
}
