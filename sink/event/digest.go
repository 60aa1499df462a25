package event

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// HashedBody is how many octets of a canonical body are hashed.
const HashedBody = 64 << 10

var (
	crlf = []byte("\r\n")
	cr   = crlf[:1]
)

// Digest hashes the canonical body of a message: the octets after the first empty line, dots unstuffed, line ends as CRLF, without the
// empty lines at its end (docs/reconciliation.md). Of longer bodies it hashes the first HashedBody octets. Whoever sends a message and whoever
// receives it use the same one. The zero value takes nothing before Begin. It is not safe for concurrent use.
type Digest struct {
	hash    xxhash.Digest
	size    int64 // canonical octets so far, without blank
	blank   int64 // octets of the empty lines at the end so far
	text    bool  // the line under way has content
	cr      bool  // the last octet was a CR, which may belong to the end of the line
	dot     bool  // the line under way began with a dot that was taken out: with nothing behind it, it is the end
	body    bool  // the header is over
	chunks  bool  // no dots were stuffed in (RFC 3030)
	begun   bool
	midline bool
}

// Begin starts a message, which comes with chunks by BDAT, where no dots are stuffed in.
func (d *Digest) Begin(chunks bool) {
	*d = Digest{begun: true, chunks: chunks}
	d.hash.Reset()
}

// Begun reports whether a message was begun.
func (d *Digest) Begun() bool { return d.begun }

// Add takes octets as they go over the wire, cut anywhere; without a message it does nothing. After DATA the final dot may be among them.
func (d *Digest) Add(p []byte) {
	if !d.begun {
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
func (d *Digest) plain(p []byte, n int) int {
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
func (d *Digest) part(p []byte) {
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
func (d *Digest) content(p []byte) {
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
func (d *Digest) endLine() {
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

func (d *Digest) write(p []byte) {
	if left := HashedBody - d.size; left > 0 {
		_, _ = d.hash.Write(p[:min(int64(len(p)), left)])
	}
	d.size += int64(len(p))
}

// Finish ends the message and returns the hash and the length of its canonical body. A last line without CRLF is as if it had it.
func (d *Digest) Finish() (hash uint64, size int64) {
	if d.midline && (d.text || d.cr) {
		if d.cr {
			d.content(cr)
		}
		if d.body {
			d.write(crlf)
		}
		d.midline = false
	}
	return d.hash.Sum64(), d.size
}
