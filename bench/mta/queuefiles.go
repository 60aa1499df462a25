package mta

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// queueFiles are the files in which an MTA keeps its queue: a pattern as of fs.Glob, below the instance's directory.
type queueFiles string

// each passes on their paths.
func (q queueFiles) each(i *instance, f func(path string) error) error {
	names, err := fs.Glob(os.DirFS(i.o.Dir), string(q))
	for _, name := range names {
		if err := f(i.path(name)); err != nil {
			return err
		}
	}
	return err
}

// number returns how many there are.
func (q queueFiles) number(i *instance) (n int, err error) {
	err = q.each(i, func(string) error { n++; return nil })
	return n, err
}

// listing returns an adapter's queue: what read finds in each file. Files that leave the queue meanwhile are passed over.
func (q queueFiles) listing(read func(*os.File) ([]reconcile.QueueEntry, error)) func(context.Context, *instance, func(*reconcile.QueueEntry) error) error {
	return func(_ context.Context, i *instance, f func(*reconcile.QueueEntry) error) error {
		return q.each(i, func(path string) error {
			file, err := os.Open(path) // #nosec G304 -- in the instance's queue
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			entries, err := read(file)
			_ = file.Close() // it was read
			for n := range entries {
				if err == nil {
					err = f(&entries[n])
				}
			}
			return err
		})
	}
}

// keyedEnvelope reads a file of lines "key: value" about one recipient, which is not named yet while the file is being written.
func keyedEnvelope(r io.Reader, sender, recipient string) ([]reconcile.QueueEntry, error) {
	var entry reconcile.QueueEntry
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
		case sender:
			entry.Sender = value
		case recipient:
			entry.Recipient = value
		}
	}
	entry.NullSender, entry.Unnamed = entry.Sender == "", entry.Recipient == ""
	return []reconcile.QueueEntry{entry}, lines.Err()
}
