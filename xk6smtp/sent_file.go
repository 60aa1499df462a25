package xk6smtp

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"go.k6.io/k6/v2/js/modules"

	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// sentVariable names the file in which the process claims what it sends; without it nothing is claimed.
const sentVariable = "K6_SMTPSTORM_SENT"

// sentFile is the file of claims, sent.jsonl (docs/reconciliation.md, Files): one for the process, written by all VUs. Rows whose message is about
// to be sent are handed to the kernel before, so that they survive k6, however it ends. Those that tell of replies go out with the next
// of them, or at the end: should k6 be killed, the row that says 'unknown' stands for the latest replies.
type sentFile struct {
	failed func(error) // told once that rows are missing
	file   claimsFile

	written int64 // octets, by who holds writing; 0 for a stream, which can't be cut
	stream  bool

	writing sync.Mutex // held by who writes to the file
	mu      sync.Mutex // guards what follows
	waiting []byte     // whole rows that go out next
	spare   []byte
	begun   bool // what stood in the file is gone
	closed  bool
	err     error
}

// claimsFile is what sentFile needs of a file.
type claimsFile interface {
	io.WriteCloser
	Truncate(size int64) error
}

// maxWaiting is how many octets of replies' rows wait for others to go out with.
const maxWaiting = 64 << 10

// openSent opens the file of claims that the environment names; without a name there is none. What stands there is kept until the run begins: k6 also runs
// the init context to inspect a script, or to pack it.
func openSent(vu modules.VU, failed func(error)) (*sentFile, error) {
	name := variable(vu, sentVariable)
	if name == "" {
		return nil, nil
	}
	target := outfile.File{Path: name, Kind: "a file of claims", Marks: []string{`{"token":"`, `"recipient":"`, `"run":"`}}
	file, stream, err := target.Append()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sentVariable, err)
	}
	return &sentFile{failed: failed, file: file, begun: stream, stream: stream}, nil
}

// begin empties the file: the run begins. More than once it does nothing, as without a file.
func (s *sentFile) begin() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return
	}
	s.begun = true
	s.fail(s.file.Truncate(0))
}

// add takes whole rows. They go out with the next that are saved.
func (s *sentFile) add(rows []byte) {
	s.mu.Lock()
	s.waiting = append(s.waiting, rows...)
	much := len(s.waiting) > maxWaiting
	s.mu.Unlock()
	if much {
		s.flush()
	}
}

// save takes whole rows and returns when the kernel has them, and all that were added before.
func (s *sentFile) save(rows []byte) {
	s.add(rows)
	s.flush()
}

// flush writes what waits. Who comes while another one writes finds its rows written by the one after it.
func (s *sentFile) flush() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.begin()
	s.mu.Lock()
	rows := s.waiting
	s.waiting = s.spare[:0]
	skip := len(rows) == 0 || s.closed || s.err != nil
	s.mu.Unlock()
	var err error
	if !skip {
		err = s.write(rows)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare = rows[:0]; cap(rows) > 4*maxWaiting {
		s.spare = nil
	}
	s.fail(err)
}

// write writes rows. If not all of them get there, the file ends in a part of a row, by which readers know that claims are missing: a disk
// may also be full behind a whole one.
func (s *sentFile) write(rows []byte) error {
	n, err := s.file.Write(rows)
	if s.stream {
		return err
	}
	s.written += int64(n)
	excess := 0
	switch {
	case err == nil:
	case n == 0 && s.written > 0 || n > 0 && rows[n-1] == '\n':
		excess = len("}\n")
	case n > 0 && rows[n-1] == '}':
		excess = len("}")
	}
	if excess > 0 {
		err = errors.Join(err, s.file.Truncate(s.written-int64(excess)))
	}
	return err
}

// fail notes the first error. Nothing is written after it: of a file without gaps it is known what is missing.
func (s *sentFile) fail(err error) {
	if err == nil || s.err != nil {
		return
	}
	s.err = err
	s.failed(fmt.Errorf("%s: %w: claims are missing", sentVariable, err))
}

// close writes what waits and closes the file. It may be called more than once, and without a file.
func (s *sentFile) close() {
	if s == nil {
		return
	}
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.fail(s.file.Close())
	}
}
