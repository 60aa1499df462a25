package sinktest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// Peer is a server that a script talks to, seen from the client.
type Peer interface {
	// Send sends octets as one segment.
	Send(p []byte) error
	// CloseWrite closes the sending side.
	CloseWrite() error
	// ReadLine returns the next line of the server without its CRLF. The error is io.EOF when the server has closed the connection,
	// and ErrSilent when there is no line although one might be expected by now.
	ReadLine() (string, error)
	// Pass lets time pass.
	Pass(d time.Duration) error
	// Unread returns the lines that the server has said and nobody has read, as far as that is known without waiting.
	Unread() []string
}

// ErrSilent is what Peer.ReadLine returns when the server says nothing.
var ErrSilent = errors.New("the server says nothing")

// Run runs a script and fails the test when the server says anything else than the script. The failure shows the dialogue as the
// client saw it.
func Run(t testing.TB, s *Script, p Peer) {
	t.Helper()
	if dialogue, err := Play(s, p); err != nil {
		t.Errorf("%s: %v\nThe dialogue was:\n%s", s.Name, err, dialogue)
	}
}

// Play runs a script and returns the dialogue as the client saw it, one line for each step, and what went wrong.
func Play(s *Script, p Peer) (dialogue string, err error) {
	var seen strings.Builder
	for _, step := range s.Steps {
		if step.Kind != StepServer && step.Kind != StepClosed {
			if lines := p.Unread(); len(lines) > 0 {
				for _, line := range lines {
					fmt.Fprintf(&seen, "  S: %s\n", line)
				}
				return seen.String(), fmt.Errorf("line %d: the server said %q before the client's %q", step.Line, lines[0], step)
			}
		}
		if err := play(step, p, &seen); err != nil {
			return seen.String(), fmt.Errorf("line %d: %w", step.Line, err)
		}
	}
	for _, line := range p.Unread() {
		fmt.Fprintf(&seen, "  S: %s\n", line)
		err = fmt.Errorf("the server said %q after the end of the script", line)
	}
	return seen.String(), err
}

func play(step Step, p Peer, seen *strings.Builder) error {
	switch step.Kind {
	case StepServer:
		line, err := p.ReadLine()
		if err != nil {
			return fmt.Errorf("want %q, got none: %w", step.Text, err)
		}
		fmt.Fprintf(seen, "  S: %s\n", line)
		if line != step.Text {
			return fmt.Errorf("\n got S: %s\nwant S: %s", line, step.Text)
		}
		return nil
	case StepClosed:
		line, err := p.ReadLine()
		if err == nil {
			fmt.Fprintf(seen, "  S: %s\n", line)
			return fmt.Errorf("want the connection closed, got %q", line)
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("want the connection closed: %w", err)
		}
	}
	fmt.Fprintf(seen, "  %s\n", abbreviate(step.String()))
	switch step.Kind {
	case StepClient:
		return p.Send(step.Octets)
	case StepTime:
		return p.Pass(step.Duration)
	case StepEOF:
		return p.CloseWrite()
	}
	return nil
}

// abbreviate shortens what would fill the screen.
func abbreviate(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s... (%d characters)", s[:most], len(s))
}
