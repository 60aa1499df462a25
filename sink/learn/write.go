package learn

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Plan writes the model as a plan file, with comments that say how much each share is worth. source says what was read, in a few words.
func (m *Model) Plan(source string) string {
	w := &writer{m: m}
	w.head(source)
	w.line("")
	w.line("rules:")
	w.pass()
	for _, d := range m.Destinations {
		if len(m.Phases) == 0 || d.constant && d.Domain != "" {
			w.destination(d, d.Parts[0], "  ", "")
		}
	}
	if len(m.Phases) > 0 {
		w.phases()
	}
	return w.b.String()
}

// writer writes one plan.
type writer struct {
	m       *Model
	b       strings.Builder
	opening string // of the list of rules, before its first one
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// comment writes a paragraph of comments.
func (w *writer) comment(indent, said string) {
	hang := ""
	if strings.HasPrefix(said, "- ") {
		hang = "  "
	}
	for line := range strings.Lines(text.Wrap(said, 130-len(indent), hang)) {
		w.b.WriteString(indent + "# " + strings.TrimSuffix(line, "\n") + "\n")
	}
}

const clock = "2006-01-02 15:04:05"

func (w *writer) head(source string) {
	m := w.m
	w.comment("", fmt.Sprintf("Learned by smtpsink learn from %s: %s attempts to deliver from %s to %s UTC. An attempt is one recipient of one message, each time that it was tried. "+
		"Weights are counts of attempts; behind them is their share, and in brackets where it lies with 95%% confidence.", source, text.Count(m.Tally.Attempts), m.First.Format(clock), m.Last.Format(clock)))
	w.line("#")
	w.comment("", "What the log could not tell, and what was made of it:")
	for _, said := range m.unknown() {
		w.comment("", "- "+said)
	}
	w.line("version: 1")
	w.line("name: learned")
	w.line("description: %s", strconv.Quote(fmt.Sprintf("%s at %s, as %s told on %s.", text.Counted(m.Tally.Attempts, "attempt"), text.Counted(m.domains(), "domain"), source, m.First.Format(time.DateOnly))))
	w.line("seed: 1")
	if m.Listen != "" {
		w.line("")
		w.line("listeners:")
		for i, d := range m.Destinations {
			w.line("  - {name: %s, address: %s}", strconv.Quote(d.listener()), strconv.Quote(m.address(i)))
		}
	}
}

// address is the i-th destination's own listener.
func (m *Model) address(i int) string {
	host, port, _ := net.SplitHostPort(m.Listen)
	first, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(first+i))
}

func (d *Destination) listener() string {
	if d.Domain == "" {
		return "others"
	}
	return d.Domain
}

func (m *Model) domains() (n int) {
	for _, d := range m.Destinations {
		n += d.Domains
	}
	return n
}

// unknown lists what was guessed or left out.
func (m *Model) unknown() []string {
	early, assumed, broken := 0, 0, 0
	told := false
	for _, d := range m.Destinations {
		seen := map[*Part]bool{}
		for _, p := range d.Parts {
			if seen[p] {
				continue
			}
			seen[p] = true
			told = told || len(p.Took) > 0
			for i := range p.Tables {
				for c := range p.Tables[i].Cells {
					cell := &p.Tables[i].Cells[c]
					if cell.stage < smtp.StageRcpt {
						early += cell.Count
					}
					if !cell.told {
						assumed += cell.Count
					}
					if cell.failure == mtalog.Lost && cell.stage == smtp.StageMessage {
						broken += cell.Count
					}
				}
			}
		}
	}
	var all []string
	say := func(n int, format string, args ...any) {
		if n > 0 {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	if m.Listen == "" {
		say(early, "%s failed before RCPT. Here they fail at rcpt, since a server with one listener knows the destination only then: --listen gives each destination its own.", text.Counted(early, "attempt"))
	} else {
		all = append(all, "How many connections there were: what happened before RCPT is counted by recipients, several of which may have shared one.")
	}
	say(assumed, "At which stage %s failed: rcpt is assumed.", text.Counted(assumed, "attempt"))
	say(broken, "Whether the message was kept in %s of which the connection broke after the body: here it was not.", text.Counted(broken, "attempt"))
	if told {
		all = append(all, "How late each reply was: a delivery's whole time, round trips included, is put into the reply after the body.")
	} else {
		all = append(all, "How late replies were.")
	}
	all = append(all, "The words of positive replies, TLS and AUTH; and limits: what a server said because a sender was too fast is here a share of its replies.")
	say(m.Tally.Suspended, "%s of the MTA to wait are no attempts, and left out.", text.Counted(m.Tally.Suspended, "decision"))
	say(m.Tally.NullSender, "%s with the null sender are left out, and pass here.", text.Counted(m.Tally.NullSender, "attempt"))
	say(m.Tally.Own, "%s were local, or decided by the MTA without asking anybody: left out.", text.Counted(m.Tally.Own, "delivery attempt"))
	say(m.Tally.NoRecipient, "The recipients of %s, which are left out.", text.Counted(m.Tally.NoRecipient, "attempt"))
	return all
}

// pass lets notifications through at each stage at which something is refused.
func (w *writer) pass() {
	w.line("  # Notifications have the null sender: they must come home.")
	used := map[smtp.Stage]bool{smtp.StageRcpt: true, smtp.StageMessage: true}
	for _, d := range w.m.Destinations {
		for _, p := range d.Parts {
			for i := range p.Tables {
				used[p.Tables[i].Stage] = true
			}
		}
	}
	for _, s := range stages {
		if used[s] && s >= smtp.StageMail {
			w.line("  - {name: DSNs pass (%v), stage: %v, match: {sender: \"<>\"}, reply: plain}", s, s)
		}
	}
}

func (w *writer) phases() {
	w.line("")
	w.line("phases:")
	names := map[string]int{}
	for i := range w.m.Phases {
		p := &w.m.Phases[i]
		name := p.From.Format("15:04:05")
		if w.m.Last.Sub(w.m.First) > 24*time.Hour {
			name = p.From.Format(clock)
		}
		if len(p.Outage) > 0 {
			name = "outage of " + strings.Join(p.Outage, ", ")
		}
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, names[name])
		}
		length := time.Duration(float64(p.Length) / w.m.Scale)
		length = max(length.Round(time.Millisecond), time.Millisecond)
		w.line("  # %s to %s", p.From.Format(clock), p.From.Add(p.Length).Format(clock))
		w.line("  - name: %s", strconv.Quote(name))
		w.line("    duration: %s", text.Durations(length.String()))
		w.opening = "    rules:\n"
		for _, d := range w.m.Destinations {
			if !d.constant || d.Domain == "" {
				part := d.Parts[0]
				if !d.constant {
					part = d.Parts[i]
				}
				w.destination(d, part, "      ", fmt.Sprintf(" (phase %d)", i+1))
			}
		}
		w.opening = ""
	}
}

// destination writes the rules for one.
func (w *writer) destination(d *Destination, p *Part, indent, phase string) {
	name, about := d.Domain, d.Domain
	if d.Domain == "" {
		name, about = "others", text.Counted(d.Domains, "other domain")
		if len(w.m.Destinations) == 1 {
			about = "all " + text.Counted(d.Domains, "domain")
		}
	}
	said := fmt.Sprintf("%s: %s", about, text.Counted(p.Attempts, "attempt"))
	if phase != "" && p.Attempts != d.Attempts {
		said += fmt.Sprintf(" of %s", text.Count(d.Attempts))
	}
	if d.Merged*100 >= d.Attempts {
		said += fmt.Sprintf("; of all, %s with rarer replies count as their stage's most usual ones", text.Count(d.Merged))
	}
	if p.Sticky {
		said += fmt.Sprintf(". Who was refused was refused again, %s of %s times: draws are by recipient, and weights count first attempts", text.Count(p.Stay), text.Count(p.Of))
	}
	if s := d.Connecting.String(); s != "" && w.m.Listen == "" && p == d.Parts[0] {
		said += fmt.Sprintf(". New connections, with DNS and EHLO, took %s", s)
	}
	connect := d.Connecting.String()
	if w.m.Listen == "" || p.has(smtp.StageConnect) {
		connect = ""
	}
	if p.quiet() && connect == "" {
		if w.opening != "" {
			indent = strings.TrimPrefix(indent, "  ")
		}
		w.comment(indent, said+". Nothing was refused")
		return
	}
	w.b.WriteString(w.opening)
	w.opening = ""
	w.comment(indent, said)
	for i := range p.Tables {
		w.table(d, p, &p.Tables[i], indent, name, phase)
	}
	if connect != "" {
		w.line("%s- {name: %s, stage: connect, match: {listener: %s}, delay: %s}", indent, strconv.Quote(name+" at connect"+phase), strconv.Quote(d.listener()), strconv.Quote(connect))
	}
}

// quiet reports whether no rule has to be written.
func (p *Part) quiet() bool {
	for i := range p.Tables {
		if len(p.Tables[i].Cells) > 0 {
			return false
		}
	}
	return p.Took.String() == ""
}

func (p *Part) has(s smtp.Stage) bool {
	for i := range p.Tables {
		if p.Tables[i].Stage == s {
			return true
		}
	}
	return false
}

// table writes a rule.
func (w *writer) table(d *Destination, p *Part, t *Table, indent, name, phase string) {
	delay := ""
	switch t.Stage {
	case smtp.StageMessage:
		delay = p.Took.String()
	case smtp.StageConnect:
		if w.m.Listen != "" {
			delay = d.Connecting.String()
		}
	}
	if len(t.Cells) == 0 && delay == "" {
		return
	}
	var match []string
	switch {
	case w.m.Listen != "":
		match = append(match, "listener: "+strconv.Quote(d.listener()))
	case d.Domain != "":
		match = append(match, "recipient: "+strconv.Quote("*@"+d.Domain))
	}
	name += " at " + t.Stage.String()
	if attempts := t.attempts(); attempts != "" {
		match, name = append(match, "attempt: "+attempts), name+", attempt "+attempts
	}
	w.line("%s- name: %s", indent, strconv.Quote(name+phase))
	w.line("%s  stage: %v", indent, t.Stage)
	if len(match) > 0 {
		w.line("%s  match: {%s}", indent, strings.Join(match, ", "))
	}
	if p.Sticky && t.Stage >= smtp.StageRcpt {
		w.line("%s  key: recipient", indent)
	}
	if delay != "" {
		w.line("%s  delay: %s", indent, strconv.Quote(delay))
	}
	if len(t.Cells) == 0 {
		return
	}
	all := t.all()
	if t.Passed == 0 && len(t.Cells) == 1 {
		c := &t.Cells[0]
		for i, key := range c.keys(t.Stage) {
			if i == 0 {
				key += fmt.Sprintf(" # all %s: %s", text.Count(all), c.said(t.Stage, all))
			}
			w.line("%s  %s", indent, key)
		}
		return
	}
	w.line("%s  outcomes:", indent)
	if t.Passed > 0 {
		w.line("%s    - {weight: %d} # %s", indent, t.Passed, share(t.Passed, all))
	}
	for i := range t.Cells {
		c := &t.Cells[i]
		w.line("%s    - {weight: %d, %s} # %s", indent, c.Count, strings.Join(c.keys(t.Stage), ", "), c.said(t.Stage, all))
	}
}

// attempts are those that a table is for, as plans write them; empty: all.
func (t *Table) attempts() string {
	switch {
	case t.First == t.Last && t.First > 0:
		return strconv.Itoa(t.First)
	case t.Last > 0:
		return fmt.Sprintf("%d-%d", t.First, t.Last)
	case t.First > 1:
		return fmt.Sprintf("%d-", t.First)
	}
	return ""
}

// all counts the attempts that reached the stage.
func (t *Table) all() int {
	n := t.Passed
	for i := range t.Cells {
		n += t.Cells[i].Count
	}
	return n
}

// said says how sure a cell is, and how the log had it.
func (c *Cell) said(stage smtp.Stage, all int) string {
	if note := c.note(stage); note != "" {
		return share(c.Count, all) + ": " + note
	}
	return share(c.Count, all)
}

// share says how many of all, and between which bounds the share is.
func share(n, all int) string {
	b := bounds(n, all)
	return fmt.Sprintf("%s%% (%s to %s)", percent(float64(n)/float64(all)), percent(b.Lo), percent(b.Hi))
}

func percent(p float64) string {
	p *= 100
	digits := 0
	if p > 0 && p < 100 {
		digits = max(0, min(3, 1-int(math.Floor(math.Log10(math.Min(p, 100-p))))))
	}
	return strconv.FormatFloat(p, 'f', digits, 64)
}

// note says how the log had it, where the plan says it in another way.
func (c *Cell) note(stage smtp.Stage) string {
	said := ""
	switch {
	case c.failure == mtalog.Refused:
		said = "connections were refused"
	case c.failure == mtalog.TimedOut:
		said = "nobody answered in time"
	case c.failure == mtalog.Lost:
		said = "the connection broke"
	case c.failure == mtalog.TLSFailed:
		said = "TLS failed"
	case c.failure == mtalog.Unclear:
		said = "why is not in the log"
	case c.told && c.stage != stage:
		return "said at " + c.stage.String()
	}
	if said != "" && c.told && c.stage != stage {
		said += " at " + c.stage.String()
	}
	return said
}

// knownAt leaves of the names of templates those that are known at a stage.
func knownAt(line string, stage smtp.Stage) string {
	if stage < smtp.StageRcpt {
		line = strings.NewReplacer(theRecipient, anAddress, theLocalPart, anAddress).Replace(line)
	}
	if stage < smtp.StageMail {
		line = strings.ReplaceAll(line, theSender, anAddress)
	}
	return line
}

// keys are what happens, in a plan's words.
func (c *Cell) keys(stage smtp.Stage) []string {
	switch c.failure {
	case mtalog.Answered:
	case mtalog.TimedOut:
		return []string{"silence: true"}
	case mtalog.TLSFailed:
		if stage == smtp.StageStartTLS {
			return []string{"tls: reset"}
		}
		return []string{"close: rst"}
	default:
		return []string{"close: rst"}
	}
	out := fmt.Sprintf("reply: {code: %d", uint16(c.code))
	lines := strings.Split(c.text, "\n")
	if c.text == "" {
		lines = nil
	}
	if c.enhanced.IsZero() && c.quoted && stage > smtp.StageEhlo {
		out += ", enhanced: none"
	}
	if !c.enhanced.IsZero() {
		if stage > smtp.StageEhlo {
			out += ", enhanced: " + c.enhanced.String()
		} else {
			for i := range lines {
				lines[i] = c.enhanced.String() + " " + lines[i]
			}
		}
	}
	for i := range lines {
		lines[i] = strconv.Quote(knownAt(lines[i], stage))
	}
	switch len(lines) {
	case 0:
	case 1:
		out += ", text: " + lines[0]
	default:
		out += ", text: [" + strings.Join(lines, ", ") + "]"
	}
	keys := []string{out + "}"}
	if s := c.Took.String(); s != "" && stage != smtp.StageMessage {
		keys = append(keys, "delay: "+strconv.Quote(s))
	}
	return keys
}
