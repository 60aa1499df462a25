package cmd

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/learn"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// learning is what smtpsink learn is told.
type learning struct {
	files    mtalog.Files
	zone     string
	from, to string
	out      string
	asJSON   bool
	options  learn.Options
}

func newLearnCommand(stdout, stderr io.Writer) *cobra.Command {
	l := &learning{}
	cmd := &cobra.Command{
		Use:   "learn --log FILE",
		Short: "make a plan of what an MTA's log says of those it sends to",
		Long: `learn reads the logs of an MTA and writes a plan that behaves as the servers did that it sent to: per destination the share of each reply at each
stage, first attempts and later ones apart, how late deliveries were, connections that failed, and outages and other changes as phases. Comments in the
plan say how many attempts each share stands on, and what the log could not tell.

No address is kept, and none gets into the plan: in replies, addresses, numbers and ids are replaced by words such as ADDRESS. Domains of recipients are
kept: they are the destinations.

Attempts are counted, not waiting: what Postfix logs as 'delivery temporarily suspended' and Exim as 'retry time not reached' asked nobody.`,
		Example: `  # yesterday's log, also packed and in any order
  smtpsink learn --log /var/log/mail.log.1 > yesterday.yaml
  smtpsink learn --log mail.log --log mail.log.1 --log mail.log.2.gz \
    --out week.yaml --json
  journalctl -o short-iso -u postfix@- | smtpsink learn --log - --out now.yaml

  # what it says, and how it feels: a day in 24 minutes
  smtpsink check yesterday.yaml
  smtpsink learn --log mail.log.1 --scale 60 --out fast.yaml
  smtpsink --plan fast.yaml

  # a morning, the three largest destinations, each with a listener of its own
  smtpsink learn --log mail.log --from 2026-11-26T06:00 --to 2026-11-26T12:00 \
    --destinations 3 --listen 127.0.0.1:2601 --out morning.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageErrorf("learn: unexpected argument %q (logs are named by --log)", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return &usageError{err}
			}
			return l.run(cmd.InOrStdin(), stdout, stderr)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVar(&l.files.Names, "log", nil, "`file` to read, - for standard input; also packed by gzip or bzip2; may be repeated, in any order")
	f.StringVar(&l.files.Format, "format", "", "`name` of the MTA that wrote it: "+strings.Join(mtalog.Formats(), ", ")+" (default: what it looks like)")
	f.StringVar(&l.zone, "zone", "Local", "`zone` of times that have none, such as Europe/Berlin")
	f.StringVar(&l.from, "from", "", "leave out attempts before this `time`, such as 2026-11-26T06:00")
	f.StringVar(&l.to, "to", "", "leave out attempts from this `time` on")
	f.IntVar(&l.options.Destinations, "destinations", 10, "domains to tell apart, those with the most attempts: the others are one")
	f.IntVar(&l.options.MinCount, "min-count", 20, "attempts that a domain, a reply or a change needs to be told apart")
	f.IntVar(&l.options.Phases, "phases", 24, "phases at most; 1: none, all of the time is alike")
	f.Float64Var(&l.options.Scale, "scale", 1, "make phases so many times shorter: 60 makes an hour a minute (delays stay as they are)")
	f.StringVar(&l.options.Listen, "listen", "", "give each destination a listener: the first has this `address`, others the next ports; only then can connections fail before RCPT")
	f.StringVar(&l.out, "out", "", "write the plan to this `file`, which must not exist (default: standard output)")
	f.BoolVar(&l.asJSON, "json", false, "print what was counted as JSON; the plan is written only where --out says")
	cli.Values(cmd, "format", mtalog.Formats()...)
	for _, flag := range []string{"zone", "from", "to", "destinations", "min-count", "phases", "scale"} {
		cli.Values(cmd, flag)
	}
	cli.Prefixes(cmd, "listen", "127.0.0.1:")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "the plan is written"}, cli.Exit{Status: exitFailed, Meaning: "the output can't be written"},
		cli.Exit{Status: exitUsage, Meaning: "bad input: a log is missing, is of no known format, or tells of no attempt; nothing was written"})
}

// check refuses what makes no sense before anything is read.
func (l *learning) check() error {
	o := &l.options
	switch {
	case len(l.files.Names) == 0:
		return errors.New("learn: --log is missing (want the log of an MTA, or - for standard input)")
	case l.files.Format != "" && !slices.Contains(mtalog.Formats(), l.files.Format):
		return fmt.Errorf("--format %s: unknown (valid: %s)", l.files.Format, strings.Join(mtalog.Formats(), " "))
	case o.Destinations < 0 || o.Destinations > maxLearned:
		return fmt.Errorf("--destinations %d is out of range (want 0 to %d)", o.Destinations, maxLearned)
	case o.MinCount < 1:
		return fmt.Errorf("--min-count %d is out of range (want 1 or more)", o.MinCount)
	case o.Phases < 1 || o.Phases > maxLearned:
		return fmt.Errorf("--phases %d is out of range (want 1 to %d)", o.Phases, maxLearned)
	case !(o.Scale > 0) || math.IsInf(o.Scale, 0):
		return fmt.Errorf("--scale %v is out of range (want above 0, such as 60)", o.Scale)
	}
	if o.Listen != "" {
		_, port, err := net.SplitHostPort(o.Listen)
		first, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || first == 0 || int(first)+o.Destinations > 65535 {
			return fmt.Errorf("--listen %s: want host:port, with a port for each destination from this one on, such as 127.0.0.1:2601", o.Listen)
		}
	}
	var err error
	if l.files.Location, err = time.LoadLocation(l.zone); err != nil {
		return fmt.Errorf("--zone %s: want a name of the time zone database such as Europe/Berlin, UTC or Local", l.zone)
	}
	if l.out != "" {
		if _, err := os.Lstat(l.out); err == nil {
			return fmt.Errorf("--out %s: it is there already, and is left as it is", l.out)
		}
	}
	return nil
}

// maxLearned bounds destinations and phases: a plan is for people to read.
const maxLearned = 1000

// timeFlag reads a time of --from or --to.
func timeFlag(name, value string, zone *time.Location) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, value, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %s: want a time such as 2026-11-26T06:00, or with a zone 2026-11-26T06:00:00+01:00", name, value)
}

func (l *learning) run(stdin io.Reader, stdout, stderr io.Writer) error {
	log := learn.NewLog()
	var err error
	if log.From, err = timeFlag("from", l.from, l.files.Location); err != nil {
		return &usageError{err}
	}
	if log.To, err = timeFlag("to", l.to, l.files.Location); err != nil {
		return &usageError{err}
	}
	if !log.From.IsZero() && !log.To.IsZero() && !log.From.Before(log.To) {
		return usageErrorf("--from %s is not before --to %s", l.from, l.to)
	}
	l.files.Stdin = stdin
	progress := readingProgress(stderr)
	l.files.Progress = progress.update
	format, lines, err := l.files.Read(func(e *mtalog.Event) error { log.Add(e); return nil })
	progress.clear()
	if err != nil {
		return &usageError{err}
	}
	model, err := log.Model(l.options)
	if err != nil {
		return usageErrorf("%s: %v (%d lines of %s)", strings.Join(l.files.Names, ", "), err, lines, format)
	}
	source := fmt.Sprintf("%s of %s", text.Counted(len(l.files.Names), "log"), format)
	made := model.Plan(source)
	if _, err := plan.Parse("the learned plan", []byte(made)); err != nil {
		return err
	}
	if err := l.write(made, stdout); err != nil {
		return err
	}
	summary := model.Summary(format, lines)
	if l.asJSON {
		return render(stdout, true, summary, nil)
	}
	_, err = fmt.Fprintf(stderr, "%s lines of %s, %s to %s, %s\n", text.Count(lines), format, text.Counted(log.Tally.Attempts, "attempt"),
		text.Counted(domains(summary), "domain"), phasesSaid(len(summary.Phases)))
	return err
}

func phasesSaid(n int) string {
	if n == 0 {
		return "nothing changes with time"
	}
	return fmt.Sprintf("%d phases", n)
}

func domains(s *learn.Summary) (n int) {
	for i := range s.Destinations {
		n += s.Destinations[i].Domains
	}
	return n
}

// write writes the plan where the user wants it.
func (l *learning) write(made string, stdout io.Writer) error {
	switch {
	case l.out != "":
		file, err := os.OpenFile(l.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 G304 -- a plan is for others to read, where the user wants it
		if err != nil {
			return &usageError{&outfile.Error{Path: l.out, Err: err}}
		}
		_, err = io.WriteString(file, made)
		if err = cmp.Or(err, file.Close()); err != nil {
			return errors.Join(err, os.Remove(l.out))
		}
		return nil
	case l.asJSON:
		return nil
	}
	w := bufio.NewWriter(stdout)
	_, err := w.WriteString(made)
	return cmp.Or(err, w.Flush())
}

// reading shows on a terminal how far the logs are read.
type reading struct {
	progress *text.Progress
	last     time.Time
}

func readingProgress(stderr io.Writer) *reading {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { // #nosec G115 -- a descriptor is a C int
		return &reading{}
	}
	width, _, err := term.GetSize(int(file.Fd())) // #nosec G115 -- a descriptor is a C int
	if err != nil {
		width = text.Columns
	}
	return &reading{progress: text.NewProgress(stderr, true, width), last: time.Now()}
}

func (r *reading) update(read, total int64) {
	const often = 200 * time.Millisecond
	if r.progress == nil || time.Since(r.last) < often {
		return
	}
	r.last = time.Now()
	if total == 0 {
		r.progress.Update("reading: %d MiB", read>>20)
		return
	}
	r.progress.Update("reading: %d of %d MiB, %d%%", read>>20, total>>20, 100*read/total)
}

func (r *reading) clear() {
	if r.progress != nil {
		r.progress.Clear()
	}
}
