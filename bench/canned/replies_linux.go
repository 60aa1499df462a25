package canned

import "bytes"

// Greeting is what the server says first.
const Greeting = "220 canned ESMTP\r\n"

const (
	okReply   = "250 ok\r\n"
	dataReply = "354 go on\r\n"
	quitReply = "221 bye\r\n"
)

// Dialogue is all that is remembered of a connection between two reads. The zero value is a new connection. Other event
// libraries are measured with the same replies by way of it.
type Dialogue struct {
	quit bool  // QUIT was answered
	data bool  // in a message
	dot  uint8 // how much of endOfData was seen
	verb byte  // first letter of a command line whose end is still to come; 0: at a line's start
}

const endOfData = "\r\n.\r\n"

// Quit says that the client has said QUIT: the connection is to be closed once the replies are out.
func (s *Dialogue) Quit() bool { return s.quit }

// Answer appends the replies to p to out, and returns how many messages ended. It keeps neither slice.
func (s *Dialogue) Answer(out, p []byte) (_ []byte, messages int) {
	for len(p) > 0 {
		if s.data {
			n, done := s.skipBody(p)
			p = p[n:]
			if done {
				s.data = false
				messages++
				out = append(out, okReply...)
			}
			continue
		}
		if s.verb == 0 {
			s.verb = p[0]
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		p = p[end+1:]
		switch s.verb | 0x20 {
		case 'd':
			s.data, s.dot = true, 2 // a dot may come at once
			out = append(out, dataReply...)
		case 'q':
			s.quit = true
			return append(out, quitReply...), messages
		default:
			out = append(out, okReply...)
		}
		s.verb = 0
	}
	return out, messages
}

// skipBody returns how much of p belongs to the message, its end included.
func (s *Dialogue) skipBody(p []byte) (n int, done bool) {
	for n < len(p) && s.dot > 0 {
		if s.dot = next(s.dot, p[n]); s.dot == uint8(len(endOfData)) {
			return n + 1, true
		}
		n++
	}
	if i := bytes.Index(p[n:], []byte(endOfData)); i >= 0 {
		return n + i + len(endOfData), true
	}
	for _, b := range p[max(n, len(p)-len(endOfData)+1):] {
		s.dot = next(s.dot, b)
	}
	return len(p), false
}

// next advances the match of endOfData, of which dot octets were seen, by b.
func next(dot uint8, b byte) uint8 {
	switch {
	case b == endOfData[dot]:
		return dot + 1
	case b == '\r':
		return 1
	}
	return 0
}
