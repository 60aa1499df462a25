package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// serve runs the server until a signal ends it.
func serve(o *options) error {
	cfg, err := o.config()
	if err != nil {
		return &usageError{err}
	}
	server, err := sink.New(cfg)
	if err != nil {
		return &usageError{o.named(err)}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := o.security.checkAuthority(); err != nil {
		return &usageError{err}
	}
	hangups := notifyHangups()
	defer signal.Stop(hangups)
	if err := o.controls.listen(); err != nil {
		return &usageError{err}
	}
	defer o.controls.close()
	if err := server.Start(); err != nil {
		return &usageError{o.named(err)}
	}
	if err := o.security.writeAuthority(server); err != nil {
		_ = server.Close() // nothing was said yet
		return &usageError{err}
	}
	o.announce(server, &cfg)
	if err := o.controls.serve(o, server); err != nil {
		_ = server.Close() // what failed is told
		return err
	}

	progress := o.startProgress(server)
	received := os.Signal(nil)
	for received == nil {
		select {
		case <-hangups:
			o.reload(server)
		case received = <-signals:
		}
	}
	progress.stop()
	o.controls.stop()
	o.say("%v: letting transactions in flight end (for at most %v; a second signal ends them at once)", received, o.drainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), o.drainTimeout)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	ended := server.Shutdown(ctx)
	if err := o.printCounters(server.Stats()); err != nil {
		return fmt.Errorf("cannot print the counters: %w", err)
	}
	return o.verdict(ended)
}

// verdict says what went wrong at the end: connections were cut off, or the ledger has not all its rows, or both.
func (o *options) verdict(ended error) error {
	if ended == nil {
		return nil
	}
	said := []error{ended}
	if several, ok := ended.(interface{ Unwrap() []error }); ok {
		said = several.Unwrap()
	}
	var words []string
	for _, err := range said {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			words = append(words, fmt.Sprintf("connections were cut off, %v after the signal (--drain-timeout)", o.drainTimeout))
		case errors.Is(err, context.Canceled):
			words = append(words, "connections were cut off by the second signal")
		default:
			words = append(words, err.Error())
		}
	}
	return errors.New(strings.Join(words, "; "))
}

// named words an error of the sink for a person at a command line: the flag that is at fault, where it is known.
func (o *options) named(err error) error {
	said := strings.TrimPrefix(err.Error(), "sink: ")
	if rest, ok := strings.CutPrefix(said, "ledger: open "+o.keeping.file+": "); ok {
		return fmt.Errorf("--ledger %s: %s", o.keeping.file, rest)
	}
	if rest, ok := strings.CutPrefix(said, "directory of notifications: "); ok {
		return fmt.Errorf("--dsn-dir %s: %s", o.keeping.dsnDir, rest)
	}
	if rest, ok := strings.CutPrefix(said, "captured messages: "); ok {
		return fmt.Errorf("--capture %s: %s", o.keeping.capture, rest)
	}
	if strings.HasSuffix(said, "name a directory where they are kept") {
		said += " (--dsn-dir)"
	}
	return errors.New(said)
}

// notifyHangups tells of SIGHUP, where there is such a signal.
func notifyHangups() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// say prints one fact, unless the user wants quiet.
func (o *options) say(format string, args ...any) {
	if !o.quiet {
		o.complain(format, args...)
	}
}

// complain prints one line.
func (o *options) complain(format string, args ...any) {
	line := printableLine(fmt.Sprintf(format, args...))
	if o.onTerminal() {
		line = strings.TrimPrefix(text.Wrap("smtpsink: "+line, text.Columns, "    "), "smtpsink: ")
	}
	fmt.Fprintf(o.stderr, "smtpsink: %s\n", line)
}

// announceStandings says which standings go on after a restart.
func (o *options) announceStandings(restored sink.RestoredStandings) {
	if n := restored.Standings; n > 0 {
		o.say("%s %s on", text.Count(n), map[bool]string{true: "standing goes", false: "standings go"}[n == 1])
	}
	if len(restored.Dropped) > 0 {
		o.complain("%s", sink.StandingsOver(restored.Dropped))
	}
}

// announce says what the server listens on and what it injects, one fact per line.
func (o *options) announce(server *sink.Server, cfg *sink.Config) {
	if recovered, ok := server.Recovered(); ok {
		if warning := recovered.Warning(); warning != "" {
			o.complain("%s: %s", cfg.Ledger.Path, warning)
		}
	}
	stats := server.Stats()
	for _, l := range server.Listeners() {
		address := l.Addr.String()
		if l.Name != l.Address {
			address = l.Name + "=" + address
		}
		inherited := ""
		if l.Inherited != nil {
			inherited = ", inherited"
		}
		o.say("listening on %s (driver %s, %d %s%s)", address, stats.Driver, stats.Loops, text.Plural(stats.Loops, "loop"), inherited)
	}
	o.announceStandings(server.RestoredStandings())
	for _, l := range server.Listeners() {
		if open := control.OpenToTheWorld(&l.Listener); open != "" {
			o.complain("%s: the sink takes mail of anybody, and throws it away", open)
		}
	}
	if cfg.Plan == nil {
		o.say("accepting everything")
		return
	}
	for _, line := range describe(cfg.Plan) {
		o.say("%s", line)
	}
}

// maxDescribed is how many rules of a plan are announced.
const maxDescribed = 8

// describe returns a line per rule with its probabilities.
func describe(p *fault.Plan) []string {
	var lines []string
	if n := len(p.Phases()); n > 0 {
		lines = append(lines, fmt.Sprintf("a storm of %d %s starts by %v", n, text.Plural(n, "phase"), p.Start()))
	}
	if n := len(p.AllLimits()); n > 0 {
		lines = append(lines, fmt.Sprintf("%d %s", n, text.Plural(n, "limit")))
	}
	for i, rule := range p.Rules() {
		if i == maxDescribed {
			lines = append(lines, fmt.Sprintf("and %d more %s", len(p.Rules())-i, text.Plural(len(p.Rules())-i, "rule")))
			break
		}
		var outcomes []string
		for _, outcome := range rule.Outcomes {
			if outcome.Probability == 0 {
				continue
			}
			code := outcome.Code
			text := fmt.Sprintf("%d %.4g%%", code, 100*outcome.Probability)
			if outcome.Unsent() {
				text = fmt.Sprintf("no reply %.4g%%", 100*outcome.Probability)
			}
			if outcome.Fault != "" {
				text += " with " + outcome.Fault
			}
			if !outcome.Delay.IsZero() {
				text += " after " + outcome.Delay.String()
			}
			outcomes = append(outcomes, text)
		}
		phase := ""
		if rule.Phase != "" {
			phase = fmt.Sprintf(", phase %q", rule.Phase)
		}
		if rule.Match.Wrong() {
			phase += ", commands that are refused"
		}
		lines = append(lines, fmt.Sprintf("%v: %s (rule %q%s, seed %d)", rule.Stage, strings.Join(outcomes, ", "), rule.Name, phase, p.Seed()))
	}
	return lines
}

// progress renews one line on a terminal.
type progress struct {
	quit, ended chan struct{}
}

func (p *progress) stop() {
	if p.quit != nil {
		close(p.quit)
		<-p.ended
	}
}

// startProgress does nothing unless stderr is a terminal.
func (o *options) startProgress(server *sink.Server) *progress {
	if o.quiet || o.interval == 0 || !o.onTerminal() {
		return &progress{}
	}
	p := &progress{quit: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		ticker := time.NewTicker(o.interval)
		defer ticker.Stop()
		var before *sink.Stats
		for {
			select {
			case <-p.quit:
				fmt.Fprintln(o.stderr)
				return
			case <-ticker.C:
				stats := server.Stats()
				fmt.Fprintf(o.stderr, "\r\x1b[K%s", o.fitting(progressLine(before, stats)))
				before = stats
			}
		}
	}()
	return p
}

// onTerminal says whether somebody watches stderr.
func (o *options) onTerminal() bool {
	file, ok := o.stderr.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// fitting cuts a line that would wrap: what is renewed in place must stay on one line.
func (o *options) fitting(line string) string {
	width := text.Columns
	if file, ok := o.stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	return line[:min(len(line), width-1)]
}

func progressLine(before, now *sink.Stats) string {
	rate, a := 0.0, now.Attempts
	if before != nil && now.Seconds > before.Seconds {
		since := now.Minus(before)
		rate = float64(since.Messages) / since.Seconds
	}
	return fmt.Sprintf("%.0fs  %d %s (%.0f/s), %d deferred, %d bounced, %d %s open",
		now.Seconds, now.Messages, text.Plural(now.Messages, "message"), rate, a.Deferred, a.Bounced, now.Open, text.Plural(now.Open, "connection"))
}

// printCounters prints the final counters: as JSON, or as a table unless the user wants quiet.
func (o *options) printCounters(stats *sink.Stats) error {
	stats.SelfCheck = stats.Check()
	if o.json {
		text, err := json.MarshalIndent(stats, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.stdout, "%s\n", text)
		return err
	}
	if o.quiet {
		return nil
	}
	_, err := fmt.Fprint(o.stdout, text.PaletteFor(o.stdout).Lines(counterTable(stats)))
	return err
}
