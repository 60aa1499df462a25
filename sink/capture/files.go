package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// The names within a directory: nothing of them comes from a client. Where there is a message there is what is known of it, too: that is
// written first.
const (
	wholeName = "%09d.eml"
	knownName = "%09d.json"
	lockName  = ".smtpstorm-capture" // tells the directory from others, and keeps a second sink out
)

// files are the messages in a directory.
type files struct {
	dir  string
	lock *os.File
	last int // the number of the last one
}

// openFiles opens a directory, and returns what is in it, the oldest first.
func openFiles(dir string) (f *files, entries []*entry, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // mail is private, even where it is a test's
		return nil, nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil, errors.Join(err, fmt.Errorf("%s: it is not a directory", dir))
	}
	f = &files{dir: dir}
	name := filepath.Join(dir, lockName)
	if f.lock, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil { // #nosec G304 -- within the directory that the user names
		return nil, nil, err
	}
	if err := outfile.Lock(f.lock); err != nil {
		_ = f.lock.Close() // nothing was written
		return nil, nil, fmt.Errorf("%s: another sink captures messages there", dir)
	}
	if entries, err = f.scan(); err != nil {
		_ = f.lock.Close()
		return nil, nil, err
	}
	return f, entries, nil
}

// scan reads what is known of the messages in the directory. What a sink that was killed has left half done is removed; what it didn't
// write stays as it is.
func (f *files) scan() (entries []*entry, err error) {
	list, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool, len(list))
	for _, e := range list {
		have[e.Name()] = true
	}
	for name := range have {
		number, kind := numberOf(name)
		switch {
		case number == 0:
			continue
		case kind == ".json" && !have[fmt.Sprintf(wholeName, number)], strings.HasPrefix(name, "."):
			if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
				return nil, err
			}
			continue
		}
		f.last = max(f.last, number)
		if kind != ".eml" {
			continue
		}
		if e := f.known(number); e != nil {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b *entry) int { return a.number - b.number })
	return entries, nil
}

// numberOf returns the number in one of our names, temporary ones included, and their end; 0: it is none of ours.
func numberOf(name string) (number int, kind string) {
	kind = filepath.Ext(name)
	digits := strings.TrimPrefix(strings.TrimSuffix(name, kind), ".")
	if len(digits) < 9 || kind != ".eml" && kind != ".json" {
		return 0, ""
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0, ""
	}
	return int(n), kind // #nosec G115 -- 31 bits
}

// known reads what is known of a message; nil when that can't be read: then the file isn't ours to touch.
func (f *files) known(number int) *entry {
	path := f.path(knownName, number)
	text, err := os.ReadFile(path) // #nosec G304 -- a number within the directory that the user names
	if err != nil {
		return nil
	}
	e := &entry{number: number, size: int64(len(text))}
	info, err := os.Stat(f.path(wholeName, number))
	if err != nil || json.Unmarshal(text, &e.Message) != nil || e.ID == "" {
		return nil
	}
	e.size += info.Size()
	return e
}

func (f *files) path(name string, number int) string {
	return filepath.Join(f.dir, fmt.Sprintf(name, number))
}

// keep writes the files of a message, and returns its number. After an error there are none.
func (f *files) keep(octets, known []byte) (number int, err error) {
	number = f.last + 1
	if err := f.writeNew(knownName, number, known); err != nil {
		return 0, err
	}
	if err := f.writeNew(wholeName, number, octets); err != nil {
		_ = os.Remove(f.path(knownName, number)) // what failed is told
		return 0, err
	}
	f.last = number
	return number, nil
}

// writeNew writes a file under a temporary name, and gives it its own only then: what has that is whole.
func (f *files) writeNew(name string, number int, octets []byte) error {
	temporary := f.path("."+name, number)
	err := os.WriteFile(temporary, octets, 0o600)
	if err == nil {
		err = os.Rename(temporary, f.path(name, number))
	}
	if err != nil {
		_ = os.Remove(temporary) // what failed is told
	}
	return err
}

func (f *files) read(number int) ([]byte, error) {
	octets, err := os.ReadFile(f.path(wholeName, number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (its file was removed)", ErrGone)
	}
	return octets, err
}

// remove removes the files of a message: what can't be removed, or is gone already, is the user's own doing.
func (f *files) remove(number int) {
	_ = os.Remove(f.path(wholeName, number))
	_ = os.Remove(f.path(knownName, number))
}

func (f *files) close() error { return f.lock.Close() }
