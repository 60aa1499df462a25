package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

// Version is the format version that files must declare.
const Version = 1

// MaxSize is the size in octets up to which a plan file is read.
const MaxSize = 8 << 20

// File is a plan with the source that it came from.
type File struct {
	Name   string // as errors call it: the path, for Load
	Text   []byte // the source, as read
	SHA256 string // of Text, in hexadecimal: a run record's provenance
	Spec   fault.PlanSpec
	Plan   *fault.Plan // NewPlan of Spec
}

// Error is what is wrong with a plan file, and where.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 when the error has no place in the file
	Key          string // such as "rules[2].match.recipient"; empty for the file as a whole
	Err          error
}

// Error returns one line: file:line:column: key: what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		fmt.Fprintf(&b, ": %s", e.Key)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return oneLine(b.String())
}

// Unwrap returns what is wrong, without where.
func (e *Error) Unwrap() error { return e.Err }

// oneLine keeps line breaks of a file's name or of quoted input from breaking the line.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// Load reads and parses a plan file. Errors are *Error, for an unreadable file too.
func Load(path string) (*File, error) {
	data, err := read(path)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // the path is in Error.File
		}
		return nil, &Error{File: path, Err: err}
	}
	return Parse(path, data)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the plan that the user names
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("larger than %d octets", MaxSize)
	}
	return data, nil
}

// Parse parses a plan. name stands for the file in errors, which are *Error. It keeps data.
func Parse(name string, data []byte) (*File, error) {
	spec, root, err := decode(name, data)
	if err != nil {
		return nil, err
	}
	p, err := fault.NewPlan(spec)
	if err != nil {
		return nil, locate(name, root, err)
	}
	sum := sha256.Sum256(data)
	return &File{Name: name, Text: data, SHA256: hex.EncodeToString(sum[:]), Spec: spec, Plan: p}, nil
}
