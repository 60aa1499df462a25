package mtalog

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Files are the logs of one MTA, as logrotate leaves them: some compressed, in any order.
type Files struct {
	Names    []string       // - is Stdin
	Format   string         // of Formats; empty: the one that the files' beginnings look like
	Location *time.Location // of times without a zone
	Stdin    io.Reader
	// Progress, unless nil, is told once in a while how many octets of the files were read, and of how many; the total is 0 when nobody knows.
	Progress func(read, total int64)
}

// headSize is how much of a log's beginning is looked at for its format and its first time.
const headSize = 1 << 20

// logFile is one of the files.
type logFile struct {
	name  string
	info  os.FileInfo // nil: standard input
	head  string
	first time.Time
	in    *bufio.Reader // of standard input
}

// Read reads the files in the order of their times and passes their events on to f, whose error ends it. It returns the format and how many
// lines there were. Errors in the files name one.
func (fs *Files) Read(f func(*Event) error) (format string, lines int, err error) {
	files, total, err := fs.look()
	if err != nil {
		return "", 0, err
	}
	format = fs.Format
	if format == "" {
		var heads strings.Builder
		for _, file := range files {
			heads.WriteString(file.head[:strings.LastIndexByte(file.head, '\n')+1])
		}
		if format = Guess(heads.String()); format == "" {
			return "", 0, fmt.Errorf("%s: it looks like no log of a known MTA (valid formats: %s)", files[0].name, strings.Join(Formats(), " "))
		}
	}
	r, err := NewReader(format)
	if err != nil {
		return "", 0, err
	}
	p := &progress{told: fs.Progress, total: total}
	for _, file := range files {
		file.head = ""
		if err := fs.read(r, file, p, f); err != nil {
			return format, r.Lines, err
		}
	}
	return format, r.Lines, nil
}

// look opens each file, reads its beginning, and puts all into the order of their times.
func (fs *Files) look() (files []*logFile, total int64, err error) {
	for _, name := range fs.Names {
		file := &logFile{name: name}
		if name == "-" {
			file.name = "standard input"
			if slices.ContainsFunc(files, func(other *logFile) bool { return other.info == nil }) {
				return nil, 0, errors.New("standard input can be read only once")
			}
			if file.in, err = unpack(fs.Stdin, file.name); err == nil {
				file.head, err = peek(file.in, file.name)
			}
		} else {
			err = file.look()
		}
		if err != nil {
			return nil, 0, err
		}
		if file.info != nil {
			for _, other := range files {
				if other.info != nil && os.SameFile(other.info, file.info) {
					return nil, 0, fmt.Errorf("%s and %s are the same file", other.name, name)
				}
			}
			total += file.info.Size()
		}
		if at, ok := firstTime(file.head, fs.options(file)); ok {
			file.first = at
		}
		files = append(files, file)
	}
	if slices.ContainsFunc(files, func(file *logFile) bool { return file.info == nil }) {
		total = 0
	}
	slices.SortStableFunc(files, func(a, b *logFile) int { return a.first.Compare(b.first) })
	return files, total, nil
}

func (file *logFile) look() error {
	in, err := os.Open(file.name)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("%s: %w", file.name, err)
	}
	defer in.Close()
	if file.info, err = in.Stat(); err != nil {
		return err
	}
	if file.info.IsDir() {
		return fmt.Errorf("%s: it is a directory", file.name)
	}
	unpacked, err := unpack(in, file.name)
	if err == nil {
		file.head, err = peek(unpacked, file.name)
	}
	return err
}

func peek(in *bufio.Reader, name string) (string, error) {
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(head), nil
}

// options are those of a file: no line is newer than its last change.
func (fs *Files) options(file *logFile) *Options {
	o := &Options{Until: time.Now(), Location: fs.Location}
	if file.info != nil {
		o.Until = file.info.ModTime()
	}
	return o
}

func (fs *Files) read(r *Reader, file *logFile, p *progress, f func(*Event) error) error {
	unpacked := file.in
	if file.info != nil {
		in, err := os.Open(file.name)
		if err != nil {
			return err
		}
		defer in.Close()
		p.in = in
		if unpacked, err = unpack(p, file.name); err != nil {
			return err
		}
	}
	return r.Read(unpacked, file.name, *fs.options(file), f)
}

// unpack reads what gzip or bzip2 have packed, and what nobody has.
func unpack(in io.Reader, name string) (*bufio.Reader, error) {
	packed := bufio.NewReaderSize(in, 64<<10)
	magic, err := packed.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var plain io.Reader = packed
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		if plain, err = gzip.NewReader(packed); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	case bytes.HasPrefix(magic, []byte("BZh")):
		plain = bzip2.NewReader(packed)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z'}), bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f}):
		return nil, fmt.Errorf("%s: it is packed by xz or zstd: unpack it first, as in xzcat %s | smtpsink learn --log -", name, name)
	}
	return bufio.NewReaderSize(plain, headSize), nil
}

// progress counts what is read of the files.
type progress struct {
	in          io.Reader
	told        func(read, total int64)
	read, total int64
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.read += int64(n)
	if p.told != nil {
		p.told(p.read, p.total)
	}
	return n, err
}
