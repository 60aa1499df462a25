package session

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// digest hashes the canonical body of a message while it is read: the octets after the first empty line, dots unstuffed, line ends as
// CRLF, without the empty lines at its end (docs/books.md). Of longer bodies it hashes the first event.HashedBody octets.
type digest struct {
	hash    xxhash.Digest
	size    int64 // canonical octets so far, without blank
	blank   int64 // octets of the empty lines at the end so far
	text    bool  // the line under way has content
	cr      bool  // the last octet was a CR, which may belong to the end of the line
	dot     bool  // the line under way began with a dot that was taken out: with nothing behind it, it is the end
	body    bool  // the header is over
	chunks  bool  // no dots were stuffed in (RFC 3030)
	wanted  bool
	midline bool
}

// begin starts a message.
func (d *digest) begin(chunks bool) {
	*d = digest{wanted: true, chunks: chunks}
	d.hash.Reset()
}

// add takes octets as they came over the wire.
func (d *digest) add(p []byte) {
	if !d.wanted {
		return
	}
	for len(p) > 0 {
		if !d.midline {
			d.midline = true
			if p[0] == '.' && !d.chunks {
				d.dot = true
				p = p[1:]
				continue
			}
		}
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			d.part(p)
			return
		}
		if n > 1 && d.body && p[n-1] == '\r' { // all of them at once, as far as they are plain
			n = d.plain(p, n)
			p = p[n:]
			continue
		}
		d.part(p[:n])
		d.endLine()
		p = p[n+1:]
	}
}

// plain takes the line that ends at n, which has content and ends in CRLF, and those like it behind it. It returns how much it took.
func (d *digest) plain(p []byte, n int) int {
	end := n + 1
	for end < len(p) && (p[end] != '.' || d.chunks) {
		next := bytes.IndexByte(p[end:], '\n')
		if next < 2 || p[end+next-1] != '\r' {
			break
		}
		end += next + 1
	}
	if d.cr {
		d.content(cr)
	}
	d.content(p[:end])
	d.text, d.cr, d.dot, d.midline = false, false, false, false
	return end
}

// part takes a part of a line without its LF.
func (d *digest) part(p []byte) {
	if len(p) == 0 {
		return
	}
	if d.cr { // it was no end of a line
		d.content(cr)
	}
	if d.cr = p[len(p)-1] == '\r'; d.cr {
		p = p[:len(p)-1]
	}
	d.content(p)
}

// content takes octets of a line.
func (d *digest) content(p []byte) {
	if len(p) == 0 {
		return
	}
	d.text = true
	if !d.body {
		return
	}
	for ; d.blank > 0; d.blank -= 2 { // those lines were not the last
		d.write(crlf)
	}
	d.write(p)
}

// endLine ends the line under way.
func (d *digest) endLine() {
	switch {
	case !d.body:
		d.body = !d.text && !d.dot
	case d.text:
		d.write(crlf)
	case !d.dot:
		d.blank += 2
	}
	d.text, d.cr, d.dot, d.midline = false, false, false, false
}

func (d *digest) write(p []byte) {
	if left := event.HashedBody - d.size; left > 0 {
		_, _ = d.hash.Write(p[:min(int64(len(p)), left)])
	}
	d.size += int64(len(p))
}

// finish ends the message, of which no line may be left open but one without CRLF, which is as if it had it.
func (d *digest) finish() {
	if d.midline && (d.text || d.cr) {
		if d.cr {
			d.content(cr)
		}
		if d.body {
			d.write(crlf)
		}
		d.midline = false
	}
}
