package runfiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Request is what a command line asks of the judge: flags that commands have in common, and what is done with them.
type Request struct {
	Files   Files  // those that were named
	QueueAt string // when Files.Queue was listed, see Check
	Units   string
	FailOn  string
	Options reconcile.Options
	AsJSON  bool
}

// FailOnUsage is the help of a flag --fail-on.
const FailOnUsage = "`names` of what fails: faults, undetermined, thresholds, queued, expired, none, or findings such as lost,duplicated,altered,dsn"

// Flags defines the flags of queue, notifications, incidents and log, and how to judge and what to print.
func (r *Request) Flags(f *pflag.FlagSet) {
	f.StringVar(&r.Files.Queue, "queue", "", "`file` of what the sender's queue holds at the end, taken as complete: JSON Lines, postqueue -j, exim -bp or smtpctl show queue")
	f.StringVar(&r.QueueAt, "queue-at", "", "`time` at which the file of --queue was listed, such as 2026-01-31T10:20:30Z, if messages were delivered after it; (default: after all else)")
	f.StringArrayVar(&r.Files.DSNs, "dsn", nil, "`file` of all notifications that the sender gave: JSON Lines, or one as it came (.eml); may be repeated")
	f.StringVar(&r.Files.Incidents, "incidents", "", "`file` of what was done to the sender, and when")
	f.StringVar(&r.Files.Log, "mta-log", "", "`file` of the MTA's own log as events")
	f.StringVar(&r.Units, "units", "", "`file` to write a line to for each (message, recipient), with its fate")
	f.DurationVar(&r.Options.IncidentWindow, "incident-window", reconcile.DefaultIncidentWindow, "how long before an incident a reply may have been sent that the sender forgot by it")
	f.DurationVar(&r.Options.MinimalBackoff, "minimal-backoff", 0, "how soon after a deferral the sender's policy lets it try again; 0: not judged")
	f.StringVar(&r.FailOn, "fail-on", "faults,undetermined,thresholds", FailOnUsage)
	f.BoolVar(&r.AsJSON, "json", false, "print the result as JSON")
}

// Check completes the options. Its error is one of usage.
func (r *Request) Check() (err error) {
	if r.Options.FailOn, err = reconcile.ParseFailOn(r.FailOn); err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	if r.Options.IncidentWindow < 0 || r.Options.MinimalBackoff < 0 {
		return errors.New("--incident-window and --minimal-backoff: want 0 or more")
	}
	if r.QueueAt == "" {
		return nil
	}
	if r.Files.Queue == "" {
		return errors.New("--queue-at: it says when the file of --queue was listed, and there is none")
	}
	if r.Files.QueueAt, err = time.Parse(time.RFC3339, r.QueueAt); err != nil {
		return fmt.Errorf("--queue-at: %q is no time such as 2026-01-31T10:20:30Z (RFC 3339)", r.QueueAt)
	}
	return nil
}

// Named returns the files of a directory with those that the command line names in their place.
func (r *Request) Named(f Files) Files {
	for _, n := range []struct {
		given string
		to    *string
	}{{r.Files.Queue, &f.Queue}, {r.Files.Incidents, &f.Incidents}, {r.Files.Log, &f.Log}} {
		if n.given != "" {
			*n.to = n.given
		}
	}
	f.QueueAt = r.Files.QueueAt
	if len(r.Files.DSNs) > 0 {
		f.DSNs = r.Files.DSNs
	}
	if len(r.Files.Ledgers) > 0 {
		f.Ledgers = r.Files.Ledgers
	}
	return f
}

// Judge has judge do its work, writes the units where they are wanted, and prints the result. inputs are the files that are read: none of
// them is written over. The error is an *outfile.Error where the units can't be written.
func (r *Request) Judge(stdout io.Writer, inputs []string, judge func(units io.Writer) (*reconcile.Result, error)) (result *reconcile.Result, err error) {
	if r.Units == "" {
		result, err = judge(nil)
	} else {
		out := outfile.File{Path: r.Units, Kind: "a file of units", Marks: []string{`"fate":"`}, Inputs: inputs}
		if err := out.Check(); err != nil {
			return nil, err
		}
		err = out.Write(func(w io.Writer) (err error) {
			result, err = judge(w)
			return err
		})
		var input *jsonl.InputError
		if errors.As(err, &input) { // the fault is not that of the units' file
			err = input
		}
	}
	if err != nil {
		return nil, err
	}
	if r.AsJSON {
		encoded, err := json.MarshalIndent(result, "", "  ")
		if err == nil {
			_, err = fmt.Fprintf(stdout, "%s\n", encoded)
		}
		return result, err
	}
	var b strings.Builder
	if err := result.WriteText(&b); err != nil {
		return nil, err
	}
	_, err = io.WriteString(stdout, text.PaletteFor(stdout).Lines(b.String()))
	return result, err
}
