// Package outfile writes the files that a user names on a command line: all of a file or nothing of it, and never in the place of
// something else than what the program writes there.
//
// It knows nothing of what the files hold: who calls it says how to recognise one.
package outfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// headBytes is how much of an existing file is looked at.
const headBytes = 4096

// Error says that a file can't be written, and names it. Nothing was changed.
type Error struct {
	Path string
	Err  error
}

// Error returns one line.
func (e *Error) Error() string { return fmt.Sprintf("%s can't be written: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// File is a file that is about to be written.
type File struct {
	Path string
	Kind string // of file, for messages: "a run record"
	// Marks are what a file of this kind holds within its first 4096 octets, all of them: an existing one is replaced only then, or when
	// it is empty.
	Marks []string
	// Inputs are files that were read: none of them is replaced, by whatever name.
	Inputs []string
}

// Check returns why the file can't be written, as an *Error, or nil. It changes nothing.
func (f *File) Check() error {
	if _, err := f.target(); err != nil {
		return &Error{Path: f.Path, Err: err}
	}
	return nil
}

// Target returns the path that is to be written, behind symbolic links, for those who write while they have yet to learn what: a stream (a device, a
// pipe, an open file) as it is, anything else to a file beside it that takes its place then. It changes nothing; errors are an *Error.
func (f *File) Target() (path string, stream bool, err error) {
	if path, err = f.target(); err != nil {
		return "", false, &Error{Path: f.Path, Err: err}
	}
	return path, isStream(path), nil
}

// target returns the file behind symbolic links that is to be replaced, or, if it is a device or a pipe, written to.
func (f *File) target() (string, error) {
	if isStream(f.Path) {
		return f.Path, nil
	}
	path, err := filepath.EvalSymlinks(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(f.Path); err == nil {
			return "", errors.New("it is a symbolic link to a file that does not exist")
		}
		if info, err := os.Stat(filepath.Dir(f.Path)); err != nil {
			return "", cause(err)
		} else if !info.IsDir() {
			return "", fmt.Errorf("%s is not a directory", filepath.Dir(f.Path))
		}
		return f.Path, nil
	}
	if err != nil {
		return "", cause(err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", cause(err)
	case info.IsDir():
		return "", errors.New("it is a directory")
	}
	for _, input := range f.Inputs {
		if other, err := os.Stat(input); err == nil && os.SameFile(info, other) {
			return "", fmt.Errorf("it is the same file as %s, which is an input", input)
		}
	}
	if info.Size() == 0 {
		return path, nil
	}
	head, err := readHead(path)
	if err != nil {
		return "", cause(err)
	}
	for _, mark := range f.Marks {
		if !bytes.Contains(head, []byte(mark)) {
			return "", fmt.Errorf("it exists and is not %s: remove it, or name another file", f.Kind)
		}
	}
	return path, nil
}

// isStream reports whether a path is that of something which is there already and is written to, whatever it is: a device, a pipe, or
// an open file by one of the names that a system has for those.
func isStream(path string) bool {
	for _, prefix := range []string{"/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- the file that the user names, whose begin is looked at
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, headBytes))
}

// Write writes the file: to a temporary one beside it, which then takes its place. Others may read it; an existing file's permissions are
// kept. Errors are an *Error, or what write returned, and leave what was there as it was.
func (f *File) Write(write func(io.Writer) error) error {
	path, err := f.target()
	if err != nil {
		return &Error{Path: f.Path, Err: err}
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		if isStream(path) || !info.Mode().IsRegular() {
			return f.pour(path, write)
		}
		mode = info.Mode().Perm()
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return &Error{Path: f.Path, Err: cause(err)}
	}
	err = errors.Join(write(temp), temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(&Error{Path: f.Path, Err: cause(err)}, os.Remove(temp.Name()))
	}
	return nil
}

// Append opens the file for rows that go out one after the other, and creates it where none is; its owner empties it when the first is due.
// Nobody else may append to it meanwhile. A stream is opened as it is. Errors are an *Error.
func (f *File) Append() (file *os.File, stream bool, err error) {
	path, stream, err := f.Target()
	if err != nil {
		return nil, false, err
	}
	flags := os.O_WRONLY
	if !stream {
		flags |= os.O_APPEND | os.O_CREATE
	}
	if file, err = os.OpenFile(path, flags, 0o644); err != nil { // #nosec G302 G304 -- the file that the user names, for others to read
		return nil, false, &Error{Path: f.Path, Err: cause(err)}
	}
	if !stream && errors.Is(Lock(file), syscall.EWOULDBLOCK) {
		return nil, false, errors.Join(&Error{Path: f.Path, Err: errors.New("another process is writing to it: name another file")}, file.Close())
	}
	return file, stream, nil
}

// pour writes to a device or a pipe, which nothing takes the place of.
func (f *File) pour(path string, write func(io.Writer) error) error {
	to, err := os.OpenFile(path, os.O_WRONLY, 0) // #nosec G304 -- the device that the user names
	if err != nil {
		return &Error{Path: f.Path, Err: cause(err)}
	}
	if err := errors.Join(write(to), to.Close()); err != nil {
		return &Error{Path: f.Path, Err: cause(err)}
	}
	return nil
}

// cause strips operation and path from an error of package os: the message names the path already.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
