package sinktest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Conn is the connection to a server that a script talks to, seen from the client.
type Conn interface {
	// Send sends octets as one segment.
	Send(octets []byte) error
	// CloseWrite closes the sending side.
	CloseWrite() error
	// ReadLine returns the next line of the server without its CRLF. The error is io.EOF when the server has closed the connection,
	// ErrReset when it has reset it, and ErrSilent when there is no line although one might be expected by now.
	ReadLine() (string, error)
	// Read returns the next n octets of the server, or fewer with an error as of ReadLine.
	Read(n int) ([]byte, error)
	// Half reports whether the server has closed its sending side only. known is false where that can't be seen.
	Half() (half, known bool)
	// StartTLS does a handshake, which fails for the reason that f names.
	StartTLS(f fault.TLSFault) error
	// Pass lets time pass.
	Pass(d time.Duration) error
	// Unread returns the lines that the server has said and nobody has read, as far as that is known without waiting.
	Unread() []string
}

// ErrReset is what Conn.ReadLine returns when the server has reset the connection.
var ErrReset = errors.New("the server reset the connection")

// ErrSilent is what Conn.ReadLine returns when the server says nothing.
var ErrSilent = errors.New("the server says nothing")

// Run runs a script and fails the test when the server says anything else than the script. The failure shows the dialogue as the
// client saw it.
func Run(t testing.TB, s *Script, c Conn) {
	t.Helper()
	if dialogue, err := Play(s, c); err != nil {
		t.Errorf("%s: %v\nThe dialogue was:\n%s", s.Name, err, dialogue)
	}
}

// Play runs a script and returns the dialogue as the client saw it, one line for each step, and what went wrong.
func Play(s *Script, c Conn) (dialogue string, err error) {
	var seen strings.Builder
	for _, step := range s.Steps {
		if step.Kind == StepClient || step.Kind == StepTime || step.Kind == StepSilence || step.Kind == StepEOF || step.Kind == StepTLS {
			if lines := c.Unread(); len(lines) > 0 {
				for _, line := range lines {
					fmt.Fprintf(&seen, "  S: %s\n", line)
				}
				return seen.String(), fmt.Errorf("line %d: the server said %q before the client's %q", step.Line, lines[0], step)
			}
		}
		if err := play(step, c, &seen); err != nil {
			return seen.String(), fmt.Errorf("line %d: %w", step.Line, err)
		}
	}
	for _, line := range c.Unread() {
		fmt.Fprintf(&seen, "  S: %s\n", line)
		err = fmt.Errorf("the server said %q after the end of the script", line)
	}
	return seen.String(), err
}

func play(step Step, c Conn, seen *strings.Builder) error {
	switch step.Kind {
	case StepServer:
		line, err := c.ReadLine()
		if err != nil {
			return fmt.Errorf("want %q, got none: %w", step.Text, err)
		}
		fmt.Fprintf(seen, "  S: %s\n", line)
		if line != step.Text {
			return fmt.Errorf("\n got S: %s\nwant S: %s", line, step.Text)
		}
		return nil
	case StepOctets:
		return playOctets(step.Octets, c, seen)
	case StepPieces:
		return playPieces(step, c, seen)
	case StepClosed:
		if err := playEnd("closed", io.EOF, false, c, seen); err != nil {
			return err
		}
	case StepHalf:
		if err := playEnd("half-closed", io.EOF, true, c, seen); err != nil {
			return err
		}
	case StepReset:
		if err := playEnd("reset", ErrReset, false, c, seen); err != nil {
			return err
		}
	}
	fmt.Fprintf(seen, "  %s\n", abbreviate(step.String()))
	switch step.Kind {
	case StepClient:
		return c.Send(step.Octets)
	case StepTime:
		return c.Pass(step.Duration)
	case StepSilence:
		if err := c.Pass(step.Duration); err != nil {
			return err
		}
		if lines := c.Unread(); len(lines) > 0 {
			return fmt.Errorf("want silence, got %q", lines[0])
		}
	case StepEOF:
		return c.CloseWrite()
	case StepTLS:
		return c.StartTLS(step.TLS)
	}
	return nil
}

// playEnd waits for the end of the connection.
func playEnd(what string, want error, half bool, c Conn, seen *strings.Builder) error {
	line, err := c.ReadLine()
	if err == nil {
		fmt.Fprintf(seen, "  S: %s\n", line)
		return fmt.Errorf("want the connection %s, got %q", what, line)
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("want the connection %s: %w", what, err)
	}
	if got, known := c.Half(); known && got != half {
		return fmt.Errorf("want the connection %s: half-closed is %v", what, got)
	}
	return nil
}

func playOctets(want []byte, c Conn, seen *strings.Builder) error {
	got, err := c.Read(len(want))
	fmt.Fprintf(seen, "  S< %s\n", abbreviate(fmt.Sprintf("%q", got)))
	if err != nil {
		return fmt.Errorf("want %s, got %s: %w", abbreviate(fmt.Sprintf("%q", want)), abbreviate(fmt.Sprintf("%q", got)), err)
	}
	if string(got) != string(want) {
		return fmt.Errorf("\n got S< %s\nwant S< %s", abbreviate(fmt.Sprintf("%q", got)), abbreviate(fmt.Sprintf("%q", want)))
	}
	return nil
}

// playPieces waits for octets that come in pieces: the first now, each other after its time, and none before.
func playPieces(step Step, c Conn, seen *strings.Builder) error {
	for rest := step.Octets; len(rest) > 0; {
		n := min(step.Piece, len(rest))
		if err := playOctets(rest[:n], c, seen); err != nil {
			return err
		}
		if rest = rest[n:]; len(rest) == 0 || step.Duration == 0 {
			continue
		}
		if lines := c.Unread(); len(lines) > 0 {
			return fmt.Errorf("the server said %q before %v had passed", lines[0], step.Duration)
		}
		if err := c.Pass(step.Duration); err != nil {
			return err
		}
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
