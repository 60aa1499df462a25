package suites

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dialogue is what a scripted server hears and says, on one connection after the other.
type dialogue struct {
	name  string
	lmtp  bool
	conns [][]step
}

// step is one thing that happens on a connection.
type step struct {
	kind   stepKind
	line   string        // hear: the client's line, whole
	octets []byte        // say; chunk: what the client sends
	wait   time.Duration // wait
}

type stepKind uint8

const (
	hear  stepKind = iota + 1 // a line
	body                      // a message up to its final dot
	chunk                     // the octets of BDAT
	say                       // octets of the server's
	wait                      // the server is silent for some time
	leave                     // the client closes
)

// A connection whose steps are over is closed by the server.

func (s step) String() string {
	switch s.kind {
	case hear:
		return "C: " + s.line
	case body:
		return "C: (message)"
	case chunk:
		return fmt.Sprintf("C: (%d octets)", len(s.octets))
	case say:
		return fmt.Sprintf("S: %q", s.octets)
	case wait:
		return fmt.Sprintf("+%v", s.wait)
	}
	return "C closes"
}

// isMail reports whether the dialogue is one of SMTP or LMTP: somebody is greeted, or nobody says anything.
func (d *dialogue) isMail() bool {
	for _, steps := range d.conns {
		for _, s := range steps {
			switch s.kind {
			case hear:
				verb, _, _ := strings.Cut(strings.ToUpper(s.line), " ")
				return verb == "EHLO" || verb == "HELO" || verb == "LHLO" || verb == "QUIT"
			case say:
				if len(s.octets) < 4 || strings.IndexByte("2345", s.octets[0]) < 0 || bytes.HasPrefix(s.octets, []byte("220 HTTP")) {
					return false
				}
			}
		}
	}
	return true
}

// completer makes whole commands of the beginnings that scripts have.
type completer struct{ recipients int }

func (c *completer) complete(prefix string) string {
	upper := strings.ToUpper(prefix)
	switch {
	case upper == "EHLO" || upper == "HELO" || upper == "LHLO":
		return prefix + " client.example"
	case strings.HasPrefix(upper, "MAIL FROM"):
		return path(prefix, len("MAIL FROM"), "a@client.example")
	case strings.HasPrefix(upper, "MAIL"):
		return path("MAIL FROM", len("MAIL FROM"), "a@client.example")
	case strings.HasPrefix(upper, "RCPT TO"):
		c.recipients++
		return path(prefix, len("RCPT TO"), fmt.Sprintf("r%d@x.example", c.recipients))
	case strings.HasPrefix(upper, "RCPT"):
		c.recipients++
		return fmt.Sprintf("RCPT TO:<r%d@x.example>", c.recipients)
	case upper == "AUTH":
		return prefix + " PLAIN AGEAYg=="
	}
	return prefix
}

// path completes a command whose path is missing, or cut off.
func path(prefix string, keyword int, address string) string {
	rest := strings.TrimPrefix(prefix[keyword:], ":")
	if strings.IndexByte(rest, '>') >= 0 {
		return prefix[:keyword] + ":" + strings.TrimLeft(rest, " ")
	}
	return prefix[:keyword] + ":<" + address + ">"
}

// parseExim takes the servers out of a script of Exim's test suite. A line of theirs is said when it begins with a digit or >, and otherwise the
// beginning of what is heard.
func parseExim(name, text string) (all []dialogue) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		words := strings.Fields(lines[i])
		if len(words) == 0 || words[0] != "server" && (words[0] != "background" || i+1 == len(lines)) {
			continue
		}
		if words[0] != "server" {
			continue
		}
		d := dialogue{name: fmt.Sprintf("%s-%d", name, len(all)+1)}
		most := 1
		for _, w := range words[1:] {
			if n, err := strconv.Atoi(w); err == nil {
				most = n
			}
		}
		var steps []step
		c := completer{}
		next := func() {
			d.conns = append(d.conns, steps)
			steps = nil
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "****"; i++ {
			line := unescapeExim(strings.TrimRight(lines[i], " \t\r"))
			switch {
			case strings.HasPrefix(line, ">*eof"), strings.HasPrefix(line, "*eof"):
				if line[0] == '*' {
					steps = append(steps, step{kind: leave})
				}
				next()
			case strings.HasPrefix(line, ">>"):
				steps = append(steps, step{kind: say, octets: []byte(line[2:])})
			case strings.HasPrefix(line, ">CR>"):
				steps = append(steps, step{kind: say, octets: []byte(line[4:] + "\r")})
			case strings.HasPrefix(line, ">LF>"):
				steps = append(steps, step{kind: say, octets: []byte(line[4:] + "\n")})
			case strings.HasPrefix(line, ">"):
				steps = append(steps, step{kind: say, octets: []byte(line[1:] + "\r\n")})
			case line != "" && line[0] >= '0' && line[0] <= '9':
				steps = append(steps, step{kind: say, octets: []byte(line + "\r\n")})
			case strings.HasPrefix(line, "*sleep "):
				n, _ := strconv.Atoi(strings.TrimSpace(line[len("*sleep "):]))
				steps = append(steps, step{kind: wait, wait: time.Duration(n) * time.Second})
			case strings.HasPrefix(line, "*data "):
				n, _ := strconv.Atoi(strings.TrimSpace(line[len("*data "):]))
				steps = append(steps, step{kind: chunk, octets: bytes.Repeat([]byte("x"), n)})
			case line == ".":
				steps = append(steps, step{kind: body})
			default:
				line = c.complete(strings.TrimPrefix(line, "<"))
				d.lmtp = d.lmtp || strings.HasPrefix(strings.ToUpper(line), "LHLO")
				steps = append(steps, step{kind: hear, line: line})
			}
		}
		if len(steps) > 0 || len(d.conns) == 0 {
			next()
		}
		for len(d.conns) < most && len(d.conns) < 8 { // it accepts and closes
			next()
		}
		for n := range d.conns {
			d.conns[n] = sizeChunks(d.conns[n])
		}
		if d.isMail() {
			all = append(all, d)
		}
	}
	return all
}

// sizeChunks has the client send the chunks that it announces. A server that reads more than that never answers; one that reads less takes the
// rest for a command, and gives up at the next.
func sizeChunks(steps []step) []step {
	for i := range steps {
		if i+1 == len(steps) || steps[i].kind != hear || steps[i+1].kind != chunk {
			continue
		}
		words := strings.Fields(steps[i].line)
		if !strings.EqualFold(words[0], "BDAT") {
			continue
		}
		reads := len(steps[i+1].octets)
		if len(words) < 2 {
			words = append(words, strconv.Itoa(reads), "LAST")
		}
		steps[i].line = strings.Join(words, " ")
		size, err := strconv.Atoi(words[1])
		if err != nil || size == reads {
			continue
		}
		steps[i+1].octets = bytes.Repeat([]byte("x"), size)
		if reads > size {
			return append(steps[:i+2:i+2], step{kind: leave})
		}
		for j := i + 2; j < len(steps); j++ {
			if steps[j].kind == hear {
				return steps[:j]
			}
		}
	}
	return steps
}

// unescapeExim replaces \xNN and \\.
func unescapeExim(line string) string {
	var out strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' || i+1 == len(line) {
			out.WriteByte(line[i])
			continue
		}
		if i++; line[i] == 'x' && i+2 < len(line) {
			if n, err := strconv.ParseUint(line[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		out.WriteByte(line[i])
	}
	return out.String()
}
