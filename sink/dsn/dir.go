package dsn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/count"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// The names within a Dir.
const (
	RowsFile  = "dsn.jsonl" // a line for each recipient that a notification tells about
	WholeDir  = "dsn"       // the notifications as they came: 000001.eml, ...
	wholeName = "%06d.eml"
)

// Message is a notification as it came.
type Message struct {
	To     string    // whom it was delivered to: the sender of what it is about
	Octets []byte    // without what SMTP adds to it
	Size   int64     // of the whole: more than Octets holds if it was cut
	Time   time.Time // when it came
}

// Dir keeps notifications in a directory: each one whole, and rows of what they say. It is safe for concurrent use.
type Dir struct {
	path string

	mu    sync.Mutex
	rows  *os.File            // locked: nobody else keeps notifications here
	size  int64               // octets of whole rows in it
	n     int                 // the number of the last notification
	stats count.Notifications // since Open
}

// Open keeps notifications in a directory, which is made if it isn't there; its parent must be. What an earlier sink has kept there is
// gone on with. The error names what stands in the way, and wraps the cause.
func Open(path string) (*Dir, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	if err := makeDir(filepath.Join(path, WholeDir)); err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	var err error
	if d.n, err = lastNumber(filepath.Join(path, WholeDir)); err != nil {
		return nil, err
	}
	name := filepath.Join(path, RowsFile)
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is not a file", name)
	}
	if d.rows, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644); err != nil { // #nosec G302 G304 -- the user names the directory, and others may read it
		return nil, err
	}
	if err = outfile.Lock(d.rows); err != nil {
		err = errors.New("another sink keeps notifications there")
	} else {
		err = d.goOn()
	}
	if err != nil {
		_ = d.rows.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

func makeDir(path string) error {
	err := os.Mkdir(path, 0o755) // #nosec G301 -- what a run leaves is for everybody to read, as its other files are
	if info, statErr := os.Stat(path); errors.Is(err, fs.ErrExist) && statErr == nil {
		if err = nil; !info.IsDir() {
			err = fmt.Errorf("%s: it is not a directory", path)
		}
	}
	return err
}

// lastNumber returns the highest number of a notification.
func lastNumber(path string) (last int, err error) {
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		number, _ := strings.CutSuffix(e.Name(), filepath.Ext(wholeName))
		if n, err := strconv.Atoi(number); err == nil {
			last = max(last, n)
		}
	}
	return last, err
}

// goOn goes on with the rows that are there. A row without its end, of a sink that was killed, is dropped.
func (d *Dir) goOn() error {
	info, err := d.rows.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	var first event.Notification
	if err := json.NewDecoder(io.NewSectionReader(d.rows, 0, info.Size())).Decode(&first); err != nil || first.Action == "" && first.Malformed == "" {
		return errors.New("it exists and does not hold rows of notifications: remove it, or name another directory")
	}
	d.size = info.Size()
	for buf := make([]byte, 4096); d.size > 0; {
		part := buf[:min(d.size, int64(len(buf)))]
		if _, err := d.rows.ReadAt(part, d.size-int64(len(part))); err != nil {
			return err
		}
		end := bytes.LastIndexByte(part, '\n')
		d.size -= int64(len(part) - end - 1)
		if end >= 0 {
			break
		}
	}
	return d.rows.Truncate(d.size)
}

// Keep keeps a notification: first as a whole, then its rows, which make it count. An error says that it does not count, now or later.
// When only the rows are left to be written, wanted is asked whether they still should be: ErrUnwanted if not. Nil means that they should.
func (d *Dir) Keep(m *Message, wanted func() bool) error {
	text, told, malformed := d.read(m)
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.keep(m, text, wanted)
	switch {
	case errors.Is(err, ErrUnwanted):
		return err
	case err != nil:
		d.stats.Failed++
		d.stats.Error = err.Error()
		return err
	}
	d.stats.Notifications++
	d.stats.Recipients += told
	d.stats.Malformed += malformed
	if m.Size > int64(len(m.Octets)) {
		d.stats.Cut++
	}
	return nil
}

// ErrUnwanted says that nobody waits for a notification any more, which was not kept therefore.
var ErrUnwanted = errors.New("given up")

// appendRow appends the row of a notification that is kept in file. Addresses may be of any octets.
func appendRow(dst []byte, n *event.Notification, file string) []byte {
	dst = append(dst, '{')
	for _, k := range [...]struct{ key, value string }{
		{"notification_id", n.ID}, {"token", n.Token}, {"sender", n.Sender}, {"storm_id", n.StormID}, {"message_id", n.MessageID}, {"recipient", n.Recipient},
		{"original_recipient", n.Original}, {"action", n.Action}, {"status", n.Status}, {"malformed", n.Malformed},
	} {
		if k.value != "" {
			dst = append(append(append(dst, '"'), k.key...), `":`...)
			dst = append(jsonl.AppendString(dst, k.value), ',')
		}
	}
	dst = append(jsonl.AppendTime(append(dst, `"time":`...), n.Time), `,"file":`...)
	return append(jsonl.AppendString(dst, file), "}\n"...)
}

// maxValue bounds a value in a row, in octets: the longest that a line of a message may have (RFC 5322 section 2.1.1).
const maxValue = 998

// read returns the rows of a notification, how many of them are about recipients, and how many could not be read in full.
func (d *Dir) read(m *Message) (rows []event.Notification, told, malformed uint64) {
	rows, err := Parse(bytes.NewReader(m.Octets))
	if err != nil && !errors.Is(err, ErrOtherReport) {
		rows = []event.Notification{{Malformed: err.Error()}}
	}
	for i := range rows {
		n := &rows[i]
		n.Sender, n.Time = m.To, m.Time.UTC()
		for _, value := range [...]*string{&n.ID, &n.Token, &n.Sender, &n.StormID, &n.MessageID, &n.Recipient, &n.Original, &n.Malformed} {
			if len(*value) > maxValue {
				*value, n.Malformed = (*value)[:maxValue], "a value is longer than 998 octets"
			}
		}
		if n.Recipient != "" && n.Action != "" {
			told++
		}
		if n.Malformed != "" {
			malformed++
		}
	}
	return rows, told, malformed
}

// keep writes the file of a notification, and then its rows. d.mu is held.
func (d *Dir) keep(m *Message, rows []event.Notification, wanted func() bool) (err error) {
	n := d.n + 1
	name := fmt.Sprintf(wholeName, n)
	whole := filepath.Join(d.path, WholeDir, name)
	if err := writeNew(filepath.Join(d.path, WholeDir, "."+name), whole, m.Octets); err != nil {
		return err
	}
	d.n = n
	var text bytes.Buffer
	for i := range rows {
		text.Write(appendRow(text.AvailableBuffer(), &rows[i], WholeDir+"/"+name))
	}
	if wanted != nil && !wanted() {
		return errors.Join(ErrUnwanted, os.Remove(whole))
	}
	if _, err := d.rows.Write(text.Bytes()); err != nil { // a part may be there
		return errors.Join(err, d.rows.Truncate(d.size), os.Remove(whole))
	}
	d.size += int64(text.Len())
	return nil
}

// writeNew writes a file under a temporary name, and gives it its own only then: what has that is whole.
func writeNew(temporary, name string, octets []byte) error {
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) // #nosec G302 G304 -- within the directory that the user names; others may read it
	if err != nil {
		return err
	}
	_, err = f.Write(octets)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		_ = os.Remove(temporary) // what failed is told
	}
	return err
}

// Stats returns what was kept.
func (d *Dir) Stats() count.Notifications {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Close ends the use of the directory. The rows are put on disk.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.rows.Sync(), d.rows.Close())
}
