package cmd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/control/client"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Where ctl looks for a sink, and for its token.
const (
	defaultControl   = "127.0.0.1:2580"
	controlVariable  = "SMTPSINK_CONTROL"
	ctlTokenVariable = "SMTPSINK_CONTROL_TOKEN" // #nosec G101 -- the name of a variable
)

// ctl asks one sink or several.
type ctl struct {
	stdout, stderr io.Writer
	addresses      []string
	tokenFile      string
	roots          string
	timeout        time.Duration
	json           bool
}

// steered is a sink that is asked.
type steered struct {
	address string
	*client.Client
}

func newCtlCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &ctl{stdout: stdout, stderr: stderr}
	cmd := &cobra.Command{
		Use:   "ctl COMMAND",
		Short: "steer sinks that run: plans, storms, the next mail's fate, counts, events",
		Long: `ctl speaks the control API of sinks that run with --control: one, or several at the same time. docs/control.md describes it.

--control names a sink, and may be given more than once; the default is $` + controlVariable + `, in which commas part several, or ` + defaultControl + `. A token is read from --token-file, or from $` + ctlTokenVariable + `.

With --json each sink's answer is one line: {"control": ADDRESS, "result": ...}, or "problem" in place of result.`,
		Example: `  # a sink that can be steered, and the next mail to one recipient fails
  smtpsink --control 127.0.0.1:2580 &
  smtpsink ctl next add --reply 450/4.2.1 --recipient user@example.org

  # watch what happens
  smtpsink ctl events --follow --code 4xx,5xx

  # another plan: first tried, then in force
  smtpsink ctl plan put flapping --dry-run
  smtpsink ctl plan put flapping
  smtpsink ctl storm jump outage

  # two sinks at once
  smtpsink ctl stats --control 127.0.0.1:2580 --control unix:/run/sink2`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var names []string
			for _, sub := range cmd.Commands() {
				names = append(names, sub.Name())
			}
			return usageErrorf("ctl: no command given (valid: %s)", strings.Join(names, " "))
		},
	}
	flags := cmd.PersistentFlags()
	flags.StringArrayVar(&c.addresses, "control", nil, "`address` of a sink's control API: host:port, https://host:port or unix:/path; repeatable (default $"+controlVariable+", or "+defaultControl+")")
	flags.StringVar(&c.tokenFile, "token-file", "", "`file` with the token, alone or behind its role as the sink's file has it (default $"+ctlTokenVariable+")")
	flags.StringVar(&c.roots, "ca", "", "`file` of the authorities that a sink's certificate may come from (PEM); without it the system's")
	flags.DurationVar(&c.timeout, "timeout", client.DefaultTimeout, "how long a sink may take to answer")
	flags.BoolVar(&c.json, "json", false, "print JSON, a line for each sink")
	cmd.AddCommand(c.infoCommand(), c.planCommand(), c.stormCommand(), c.nextCommand(), c.statsCommand(), c.eventsCommand(), c.messagesCommand(),
		c.judgeCommand(), c.ledgerCommand(), c.resetCommand(), c.standingsCommand(), c.readyCommand(), newTokenCommand(stdout))
	cli.Prefixes(cmd, "control", "127.0.0.1:", "https://", "unix:")
	return cli.SetExits(cmd, ctlExits...)
}

var ctlExits = []cli.Exit{
	{Status: 0, Meaning: "every sink has done it"},
	{Status: exitFailed, Meaning: "a sink could not be reached, or has refused"},
	{Status: exitUsage, Meaning: "bad input"},
}

// sub completes a command of ctl.
func (c *ctl) sub(cmd *cobra.Command, exits ...cli.Exit) *cobra.Command {
	if exits == nil {
		exits = ctlExits
	}
	return cli.SetExits(cmd, exits...)
}

// sinks returns the sinks that are asked.
func (c *ctl) sinks() ([]steered, error) {
	addresses := c.addresses
	if len(addresses) == 0 {
		addresses = strings.FieldsFunc(os.Getenv(controlVariable), func(r rune) bool { return r == ',' || r == ' ' })
	}
	if len(addresses) == 0 {
		addresses = []string{defaultControl}
	}
	o := client.Options{Timeout: c.timeout, Token: os.Getenv(ctlTokenVariable)}
	if c.timeout <= 0 {
		return nil, usageErrorf("--timeout: invalid duration %v (want more than 0)", c.timeout)
	}
	if c.tokenFile != "" {
		token, err := tokenOf(c.tokenFile)
		if err != nil {
			return nil, usageErrorf("--token-file: %w", err)
		}
		o.Token = token
	}
	if c.roots != "" {
		pem, err := os.ReadFile(c.roots)
		if err != nil {
			return nil, usageErrorf("--ca %s: %w", c.roots, rootCause(err))
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(pem) {
			return nil, usageErrorf("--ca %s: there is no certificate in it", c.roots)
		}
	}
	var all []steered
	for i, address := range addresses {
		for _, other := range addresses[:i] {
			if other == address {
				return nil, usageErrorf("--control %s: it is given twice", address)
			}
		}
		sink, err := client.New(address, o)
		if err != nil {
			return nil, usageErrorf("--control: %w", err)
		}
		all = append(all, steered{address, sink})
	}
	return all, nil
}

// tokenOf returns the token of a file: the last word of its first line that is no comment.
func tokenOf(name string) (string, error) {
	file, err := open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			return fields[len(fields)-1], nil
		}
	}
	return "", fmt.Errorf("%s: there is no token in it", name)
}

// interruptible returns a context that ends with SIGINT or SIGTERM.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// ask asks all sinks at the same time, and prints what each has said, in their order: as JSON, or as show writes it, which may be nil for
// an answer that is nothing but done.
func ask[T any](c *ctl, f func(context.Context, steered) (T, error), show func(w io.Writer, answer T)) error {
	sinks, err := c.sinks()
	if err != nil {
		return err
	}
	ctx, cancel := interruptible()
	defer cancel()
	answers, errs := make([]T, len(sinks)), make([]error, len(sinks))
	var all sync.WaitGroup
	for i, s := range sinks {
		all.Go(func() {
			answers[i], errs[i] = f(ctx, s)
			s.Close()
		})
	}
	all.Wait()
	var out bytes.Buffer
	for i, s := range sinks {
		switch {
		case c.json:
			line(&out, s, answers[i], errs[i])
		case errs[i] != nil && len(sinks) > 1:
			fmt.Fprintf(c.stderr, "smtpsink: %s: %s\n", s.address, printableLine(said(errs[i])))
		case errs[i] == nil:
			if len(sinks) > 1 {
				fmt.Fprintf(&out, "%s\n", text.PaletteFor(c.stdout).Heading(s.address))
			}
			if show != nil {
				show(&out, answers[i])
			}
		}
	}
	if _, err := c.stdout.Write(out.Bytes()); err != nil {
		return err
	}
	return c.verdict(sinks, errs)
}

// line writes a sink's answer as JSON.
func line(w io.Writer, s steered, answer any, err error) {
	out := struct {
		Control string `json:"control"`
		Result  any    `json:"result,omitempty"`
		Problem any    `json:"problem,omitempty"`
	}{Control: s.address, Result: answer}
	if err != nil {
		out.Result = nil
		var p *api.Problem
		if out.Problem = map[string]string{"detail": said(err)}; errors.As(err, &p) {
			out.Problem = p
		}
	}
	encoded, failed := json.Marshal(out)
	if failed == nil {
		fmt.Fprintf(w, "%s\n", encoded)
	}
}

// said words an error of a sink, with what would do.
func said(err error) string {
	var p *api.Problem
	if errors.As(err, &p) {
		return p.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time (--timeout)"
	}
	return rootCause(err).Error()
}

// verdict sums up what went wrong: bad input where the sinks say so, and otherwise a failure.
func (c *ctl) verdict(sinks []steered, errs []error) error {
	failed, bad := 0, 0
	var last error
	for i, err := range errs {
		if err == nil {
			continue
		}
		failed++
		last = fmt.Errorf("%s: %s", sinks[i].address, said(err))
		var p *api.Problem
		if errors.As(err, &p) && (p.Status == 400 || p.Status == 413 || p.Status == 415 || p.Status == 422) {
			bad++
		}
	}
	switch {
	case failed == 0:
		return nil
	case len(sinks) > 1:
		last = fmt.Errorf("%d of %d sinks have not done it", failed, len(sinks))
	}
	if bad == failed {
		return &usageError{last}
	}
	return last
}

func newTokenCommand(stdout io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token read|write",
		Short: "make a token, as a line for --control-token-file",
		Example: `  smtpsink ctl token write > tokens; chmod 600 tokens
  smtpsink ctl token read >> tokens
  smtpsink --control 127.0.0.1:2580 --control-token-file tokens`,
		ValidArgs: []string{"read", "write"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != "read" && args[0] != "write" {
				return usageErrorf("token: want what it shall have the right to (valid: read write)")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := fmt.Fprintf(stdout, "%s %s\n", args[0], control.NewToken())
			return err
		},
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
}

// oneArgument wants one argument.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageErrorf("%s: got %d arguments, want one: %s", cmd.Name(), len(args), what)
		}
		return nil
	}
}
