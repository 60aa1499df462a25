package sinktest

import (
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// Script is a parsed transcript.
type Script struct {
	Name  string // of the file
	Setup Setup  // how the server is set up
	Steps []Step
}

// Step is one thing that happens in a dialogue.
type Step struct {
	Kind     StepKind
	Line     int            // in the file, from 1
	Octets   []byte         // of StepClient: what goes out as one segment; of StepOctets and StepPieces: what comes
	Text     string         // of StepServer: the line without CRLF
	Duration time.Duration  // of StepTime and StepSilence; of StepPieces: between two pieces
	Piece    int            // of StepPieces: octets
	TLS      fault.TLSFault // of StepTLS: why the handshake fails
}

// StepKind is the kind of a Step.
type StepKind uint8

// The kinds of steps.
const (
	StepClient  StepKind = iota + 1 // C: C! C* C<
	StepServer                      // S:
	StepOctets                      // S<
	StepPieces                      // S~
	StepTime                        // +5s
	StepSilence                     // SILENCE 5s
	StepEOF                         // EOF
	StepClosed                      // CLOSED
	StepHalf                        // HALF
	StepReset                       // RST
	StepTLS                         // TLS
)

// String returns the step as a script would have it.
func (s Step) String() string {
	switch s.Kind {
	case StepClient:
		if text, ok := strings.CutSuffix(string(s.Octets), "\r\n"); ok && !strings.ContainsAny(text, "\r\n") {
			return "C: " + text
		}
		return fmt.Sprintf("C! %q", s.Octets)
	case StepServer:
		return "S: " + s.Text
	case StepOctets:
		return fmt.Sprintf("S< %q", s.Octets)
	case StepPieces:
		return fmt.Sprintf("S~ %d %v %q", s.Piece, s.Duration, s.Octets)
	case StepTime:
		return fmt.Sprintf("+%v", s.Duration)
	case StepSilence:
		return fmt.Sprintf("SILENCE %v", s.Duration)
	case StepEOF:
		return "EOF"
	case StepClosed:
		return "CLOSED"
	case StepHalf:
		return "HALF"
	case StepReset:
		return "RST"
	case StepTLS:
		if s.TLS != fault.TLSNone {
			return "TLS " + s.TLS.String()
		}
		return "TLS"
	}
	return "?"
}

// Duration returns how much time passes in the script. Over a network time is real: a test there runs only scripts that it has
// the patience for.
func (s *Script) Duration() (sum time.Duration) {
	for _, step := range s.Steps {
		if step.Kind == StepPieces {
			sum += step.Duration * time.Duration((len(step.Octets)-1)/step.Piece)
			continue
		}
		sum += step.Duration
	}
	return sum
}

//go:embed transcripts/*.txt transcripts/faults/*.txt transcripts/suites/*.txt
var transcripts embed.FS

// Scripts returns the golden transcripts of a server that behaves, or has wrong replies and delays only, sorted by name. They hold
// for every driver of the sink.
func Scripts(t testing.TB) []*Script {
	t.Helper()
	return scripts(t, "transcripts/*.txt")
}

// FaultScripts returns the golden transcripts of faults, TLS and AUTH, sorted by name. They hold for every driver of the sink.
func FaultScripts(t testing.TB) []*Script {
	t.Helper()
	return scripts(t, "transcripts/faults/*.txt")
}

// SuiteScripts returns servers that other projects' test suites script, as plans, sorted by name: docs/suites.md.
func SuiteScripts(t testing.TB) []*Script {
	t.Helper()
	return scripts(t, "transcripts/suites/*.txt")
}

func scripts(t testing.TB, pattern string) []*Script {
	t.Helper()
	names, err := fs.Glob(transcripts, pattern)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	scripts := make([]*Script, len(names))
	for i, name := range names {
		text, err := transcripts.ReadFile(name)
		if err == nil {
			scripts[i], err = Parse(strings.TrimSuffix(path.Base(name), ".txt"), string(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return scripts
}

// Parse parses a script. The error names the line.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name}
	var flags []string
	var planText strings.Builder
	start := Step{}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "--") || strings.TrimSpace(line) == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "flags:"); ok && len(s.Steps) == 0 {
			words, err := splitWords(rest)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
			flags = append(flags, words...)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "plan: "); ok && len(s.Steps) == 0 {
			planText.WriteString(rest + "\n")
			continue
		}
		if rest, ok := strings.CutPrefix(line, "start:"); ok && len(s.Steps) == 0 {
			start = Step{Line: i + 1, Text: strings.TrimSpace(rest)}
			continue
		}
		step, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		step.Line = i + 1
		if last := len(s.Steps) - 1; step.Kind == StepClient && last >= 0 && s.Steps[last].Kind == StepClient {
			s.Steps[last].Octets = append(s.Steps[last].Octets, step.Octets...)
			continue
		}
		s.Steps = append(s.Steps, step)
	}
	setup, err := ParseFlags(flags)
	if err != nil {
		return nil, fmt.Errorf("%s: flags: %w", name, err)
	}
	if planText.Len() > 0 {
		file, err := plan.Parse(name, []byte(planText.String()))
		if err != nil {
			return nil, fmt.Errorf("%s: plan: %w", name, err)
		}
		setup.Plan = file.Plan
		if listeners := setup.Plan.Listeners(); len(listeners) > 0 { // the script's server is the first
			setup.Config.Serve(&listeners[0].Service)
		}
	}
	s.Setup = setup
	if start.Text != "" {
		opening, err := openingSteps(start, &setup)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, start.Line, err)
		}
		s.Steps = append(opening, s.Steps...)
	}
	return s, nil
}

// openingSteps returns the dialogue that start: stands for.
func openingSteps(start Step, setup *Setup) ([]Step, error) {
	greeting := "220 " + setup.Config.Hostname + " ESMTP smtpstorm"
	verb, extended := strings.ToUpper(start.Text), true
	switch start.Text {
	case "helo":
		extended = false
	case "ehlo":
	case "lhlo":
		greeting = strings.Replace(greeting, "ESMTP", "LMTP", 1)
	default:
		return nil, fmt.Errorf("start: %s (valid: helo ehlo lhlo)", start.Text)
	}
	var steps []Step
	if setup.Config.TLS == session.TLSImplicit {
		steps = append(steps, Step{Kind: StepTLS})
	}
	steps = append(steps,
		Step{Kind: StepServer, Text: greeting},
		Step{Kind: StepClient, Octets: []byte(verb + " client.example\r\n")},
	)
	lines := []string{"250 " + setup.Config.Hostname}
	if extended {
		size := setup.Config.MaxSize
		if size == 0 {
			size = session.DefaultMaxSize
		}
		lines = []string{
			"250-" + setup.Config.Hostname, "250-PIPELINING", fmt.Sprintf("250-SIZE %d", size), "250-8BITMIME", "250-SMTPUTF8",
			"250-CHUNKING", "250-BINARYMIME", "250-DSN", "250-ENHANCEDSTATUSCODES",
		}
		if setup.Config.TLS == session.TLSStart {
			lines = append(lines, "250-STARTTLS")
		}
		if setup.Auth != nil && (!setup.Config.AuthNeedsTLS || setup.Config.TLS == session.TLSImplicit) {
			lines = append(lines, "250-AUTH "+strings.Join(setup.Auth.Mechanisms(), " "))
		}
		lines = append(lines, "250 HELP")
	}
	for _, line := range lines {
		steps = append(steps, Step{Kind: StepServer, Text: line})
	}
	for i := range steps {
		steps[i].Line = start.Line
	}
	return steps, nil
}

func parseStep(line string) (Step, error) {
	switch {
	case line == "EOF":
		return Step{Kind: StepEOF}, nil
	case line == "CLOSED":
		return Step{Kind: StepClosed}, nil
	case line == "HALF":
		return Step{Kind: StepHalf}, nil
	case line == "RST":
		return Step{Kind: StepReset}, nil
	case line == "TLS":
		return Step{Kind: StepTLS}, nil
	case line[0] == '+':
		d, err := time.ParseDuration(line[1:])
		if err != nil || d <= 0 {
			return Step{}, fmt.Errorf("invalid time %q (want one like +5s)", line)
		}
		return Step{Kind: StepTime, Duration: d}, nil
	}
	mark, rest, _ := strings.Cut(line, " ")
	octets, err := []byte(nil), error(nil)
	switch mark {
	case "S:":
		return Step{Kind: StepServer, Text: rest}, nil
	case "S<":
		octets, err = unquote(rest)
		if err == nil {
			return Step{Kind: StepOctets, Octets: octets}, nil
		}
	case "S~":
		step, err := parsePieces(rest)
		if err == nil {
			return step, nil
		}
		return Step{}, fmt.Errorf("line %q: %w", line, err)
	case "SILENCE":
		d, err := time.ParseDuration(rest)
		if err == nil && d > 0 {
			return Step{Kind: StepSilence, Duration: d}, nil
		}
		return Step{}, fmt.Errorf("invalid time %q (want one like SILENCE 5s)", line)
	case "TLS":
		f, err := fault.ParseTLSFault(rest)
		return Step{Kind: StepTLS, TLS: f}, err
	case "C:":
		octets = []byte(rest + "\r\n")
	case "C!":
		octets, err = unquote(rest)
	case "C<":
		octets, err = hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
	case "C*":
		count, quoted, _ := strings.Cut(rest, " ")
		var n int
		if n, err = strconv.Atoi(count); err == nil && n < 0 {
			err = fmt.Errorf("negative count %d", n)
		}
		if err == nil {
			octets, err = unquote(quoted)
			octets = []byte(strings.Repeat(string(octets), n))
		}
	default:
		err = fmt.Errorf("unknown mark (want S: S< S~ C: C! C* C< +time SILENCE EOF CLOSED HALF RST TLS or -- comment)")
	}
	if err != nil {
		return Step{}, fmt.Errorf("line %q: %w", line, err)
	}
	return Step{Kind: StepClient, Octets: octets}, nil
}

// parsePieces parses "2 1s "250 OK\r\n"".
func parsePieces(text string) (Step, error) {
	count, rest, _ := strings.Cut(text, " ")
	every, quoted, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return Step{}, fmt.Errorf("invalid number of octets %q", count)
	}
	d, err := time.ParseDuration(every)
	if err != nil || d < 0 {
		return Step{}, fmt.Errorf("invalid time %q", every)
	}
	octets, err := unquote(quoted)
	return Step{Kind: StepPieces, Piece: n, Duration: d, Octets: octets}, err
}

func unquote(s string) ([]byte, error) {
	text, err := strconv.Unquote(strings.TrimSpace(s))
	if err != nil {
		return nil, fmt.Errorf("not a Go string literal")
	}
	return []byte(text), nil
}
