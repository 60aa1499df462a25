package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

func newMTACommand(stdout *os.File) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mta",
		Short: "list the MTAs that can be run, or read the log of one",
		Long:  "mta is about real mail transfer agents: which of them this program can run as private instances, and what their logs say.",
		Args:  knownSubcommand,
		RunE: func(*cobra.Command, []string) error {
			return usageErrorf("mta: no command given (valid: list log)")
		},
	}
	cmd.AddCommand(newMTAListCommand(stdout), newMTALogCommand(stdout))
	return cli.SetExits(cmd, cli.Exit{Status: exitUsage, Meaning: "no command was given, or an unknown one"})
}

// knownSubcommand refuses what cobra would take for an argument of the command.
func knownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{cli.UnknownCommand(cmd, args[0], "")}
}

func newMTAListCommand(stdout io.Writer) *cobra.Command {
	fetch := false
	cmd := &cobra.Command{
		Use:   "list [NAME...]",
		Short: "list the MTAs and applications that can be run as private instances, and how to get those that are missing",
		Long: `list says of each MTA whether it is ready, and else what to do. Debian's packages of MTAs exclude one another: all but Postfix are fetched into
a directory of this user, $SMTPSTORM_MTAS or smtpstorm/mta in the user's cache, and installed nowhere. NAME@VERSION is another version of those that have
several, such as nodemailer@6.3.0.`,
		Example: `  smtpbench mta list

  # get what is missing
  smtpbench mta list --fetch | sh -ex
  smtpbench mta list --fetch nodemailer@6.3.0 | sh -ex`,
		RunE: func(_ *cobra.Command, names []string) error {
			list, err := candidates(names)
			if err != nil {
				return err
			}
			var out strings.Builder
			for _, c := range list {
				err := c.Ready()
				switch {
				case fetch && errors.Is(err, mta.ErrMissing):
					fmt.Fprintln(&out, c.Fetch)
				case fetch:
				case errors.Is(err, mta.ErrMissing):
					as := ""
					if c.Root {
						as = " as root"
					}
					fmt.Fprintf(&out, "%-10s  missing; this gets it%s:\n  %s\n", c.Name, as, c.Fetch)
				case err != nil:
					fmt.Fprintf(&out, "%-10s  not ready: %v (%s)\n", c.Name, err, c.Path)
				default:
					fmt.Fprintf(&out, "%-10s  ready: %s\n", c.Name, c.Path)
				}
			}
			_, err = io.WriteString(stdout, out.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&fetch, "fetch", false, "print only the commands that get what is missing, for a shell")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "listed, whatever is missing"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
}

// candidates looks up the MTAs of these names; without any, all.
func candidates(names []string) ([]mta.Candidate, error) {
	if len(names) == 0 {
		return mta.Find(), nil
	}
	var list []mta.Candidate
	for _, name := range names {
		c, err := mta.Lookup(name)
		if err != nil {
			return nil, &usageError{fmt.Errorf("mta list: %w", err)}
		}
		list = append(list, c)
	}
	return list, nil
}

func newMTALogCommand(stdout io.Writer) *cobra.Command {
	var format, zone string
	cmd := &cobra.Command{
		Use:   "log --format FORMAT FILE",
		Short: "write the log of an MTA as events: mta.jsonl",
		Long: `log reads the log of an MTA, or standard input as -, and writes its events to standard output: a JSON object a line, as smtpbench judge
reads them (docs/mta.schema.json). accepted tells of a message; deferred, suspended, sent, bounced and expired of a recipient. Lines that tell nothing
are left out, and so are those of other programs.

Postfix and chasquid: their own logs, or syslog's; sendmail, OpenSMTPD, nullmailer and dma: syslog's. A time without a year is taken for the last such before the file was changed. Exim: the main log. Haraka: the format
"default" with timestamps, at level info; to whom its notifications go isn't in it.`,
		Example: `  smtpbench mta log --format postfix /var/log/mail.log \
    > results/latest/mta.jsonl
  smtpbench judge results/latest`,
		Args: arguments(1, 1, "the log of an MTA"),
		RunE: func(_ *cobra.Command, args []string) error {
			if format == "" {
				return usageErrorf("mta log: --format is missing (valid: %s)", strings.Join(mtalog.Formats(), " "))
			}
			o := mtalog.Options{Until: time.Now()}
			var err error
			if o.Location, err = time.LoadLocation(zone); err != nil {
				return usageErrorf("--zone %s: want a name of the time zone database such as Europe/Berlin, UTC or Local", zone)
			}
			return writeEvents(stdout, format, args[0], o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&format, "format", "", "`name` of the MTA: "+strings.Join(mtalog.Formats(), ", "))
	f.StringVar(&zone, "zone", "Local", "`zone` of times that have none")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "written"}, cli.Exit{Status: exitFailed, Meaning: "the output can't be written"},
		cli.Exit{Status: exitUsage, Meaning: "the file is missing, or no line of it is of the format"})
}

// writeEvents writes the events of a log.
func writeEvents(stdout io.Writer, format, name string, o mtalog.Options) error {
	in := os.Stdin
	if name != "-" {
		file, err := os.Open(name) // #nosec G304 -- the log that the user names
		if err != nil {
			return &usageError{err}
		}
		defer file.Close()
		in = file
		if info, err := file.Stat(); err == nil {
			o.Until = info.ModTime()
		}
	}
	var line []byte
	var unwritten error
	err := mtalog.Read(format, in, name, o, func(e *mtalog.Event) error {
		line = e.Append(line[:0])
		_, unwritten = stdout.Write(line)
		return unwritten
	})
	if err != nil && unwritten == nil {
		return &usageError{err}
	}
	return err
}
