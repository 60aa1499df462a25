package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// input reads the lines of one file.
type input struct {
	name  string
	what  string // the keys of the file, for errors
	lines *jsonl.Lines
	scan  jsonl.Scanner
	line  []byte

	unfinished bool // the line has no line feed
}

func newInput(r io.Reader, name, what string) *input {
	return &input{name: name, what: what, lines: jsonl.NewLines(r)}
}

// nextLine returns the next line that is not blank. The last one may lack its line feed: nobody appends to these files.
func (in *input) nextLine() ([]byte, error) {
	for {
		line, err := in.lines.Next()
		if errors.Is(err, io.EOF) && in.lines.Torn > 0 {
			in.lines.Number++
			line, err = in.lines.Tail, nil
			in.unfinished = true
			if in.lines.Torn > jsonl.MaxLine {
				err = jsonl.ErrTooLong
			}
			in.lines.Torn = 0
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, err
		case errors.Is(err, jsonl.ErrTooLong):
			return nil, in.error(err)
		case err != nil:
			return nil, &jsonl.InputError{File: in.name, Err: err}
		}
		if len(strings.TrimSpace(string(line))) > 0 {
			return line, nil
		}
	}
}

// next scans the next line that is not blank.
func (in *input) next() (err error) {
	if in.line, err = in.nextLine(); err != nil {
		return err
	}
	if err := in.scan.Scan(in.line); err != nil {
		return in.error(err)
	}
	return nil
}

// error adds file and line, unless the error has them.
func (in *input) error(err error) error {
	var have *jsonl.InputError
	if errors.As(err, &have) {
		return err
	}
	return jsonl.At(in.name, in.lines.Number, err)
}

func keyed(key string, err error) error { return &jsonl.KeyError{Key: key, Err: err} }

func (in *input) missing(key string) error { return keyed(key, fmt.Errorf("missing (%s)", in.what)) }

// text returns the string of a key. null counts as not given.
func (in *input) text(key string, required bool) (string, error) {
	v, ok := in.scan.Get(key)
	if ok && isNull(v) {
		ok = false
	}
	if !ok {
		if required {
			return "", in.missing(key)
		}
		return "", nil
	}
	b, err := v.Text()
	if err == nil && required && len(b) == 0 {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", keyed(key, err)
	}
	return string(b), nil
}

func (in *input) has(key string) bool {
	v, ok := in.scan.Get(key)
	return ok && !isNull(v)
}

func isNull(v jsonl.Value) bool { return v.Shape == jsonl.ShapeOther && string(v.B) == "null" }

func (in *input) instant(key string) (time.Time, error) {
	v, ok := in.scan.Get(key)
	if !ok || isNull(v) {
		return time.Time{}, nil
	}
	t, err := v.Instant()
	if err != nil {
		return t, keyed(key, err)
	}
	return t, nil
}

func (in *input) flag(key string) (bool, error) {
	v, ok := in.scan.Get(key)
	if !ok || isNull(v) {
		return false, nil
	}
	b, err := v.Bool()
	if err != nil {
		return false, keyed(key, err)
	}
	return b, nil
}

func (in *input) number(key string, bits int) (uint64, error) {
	v, ok := in.scan.Get(key)
	if !ok || isNull(v) {
		return 0, nil
	}
	n, err := v.Uint(bits)
	if err != nil {
		return 0, keyed(key, err)
	}
	return n, nil
}

// list returns the strings of a key: an array of them, or one alone.
func (in *input) list(key string) ([]string, error) {
	v, ok := in.scan.Get(key)
	if !ok || isNull(v) {
		return nil, nil
	}
	list, err := v.Strings()
	if err != nil {
		return nil, keyed(key, err)
	}
	return list, nil
}

// names reads the identities that several files share.
func (in *input) names(token, sender, storm, id *string) (err error) {
	for _, k := range [...]struct {
		key string
		to  *string
	}{{"token", token}, {"sender", sender}, {"storm_id", storm}, {"message_id", id}} {
		if *k.to, err = in.text(k.key, false); err != nil {
			return err
		}
	}
	return nil
}

const claimKeys = "keys: token recipient, optional: sender run storm_id message_id body_xxh64 size eight_bit notify delivered_to ack intended sent replied code, others are ignored"

// ReadClaims reads claims, one JSON object a line, and passes each to f, whose error ends it. A row at the end that is not whole is left
// out, and torn is true then: its writer was killed before it could act on it, or the file is part of a longer one. Errors are
// *jsonl.InputErrors that call the file name.
func ReadClaims(r io.Reader, name string, f func(*Claim) error) (torn bool, err error) {
	in := newInput(r, name, claimKeys)
	var c Claim
	for {
		if err := in.next(); err != nil {
			if in.unfinished && bytes.HasPrefix(in.line, []byte{'{'}) {
				return true, nil
			}
			return false, ended(err)
		}
		c = Claim{}
		err := in.claim(&c)
		if err == nil {
			err = f(&c)
		}
		if err != nil {
			return false, in.error(err)
		}
	}
}

func (in *input) claim(c *Claim) (err error) {
	if err := in.names(&c.Token, &c.Sender, &c.StormID, &c.MessageID); err != nil {
		return err
	}
	c.HasSender = in.has("sender")
	if c.Token == "" {
		return in.missing("token")
	}
	if c.Recipient, err = in.text("recipient", true); err != nil {
		return err
	}
	if c.Run, err = in.text("run", false); err != nil {
		return err
	}
	if c.Notify, err = in.text("notify", false); err != nil {
		return err
	}
	if v, ok := in.scan.Get("body_xxh64"); ok && !isNull(v) {
		if c.Body, err = v.Hash(); err != nil {
			return keyed("body_xxh64", err)
		}
		c.Hashed = true
	}
	size, err := in.number("size", 63)
	if err != nil {
		return err
	}
	c.Size = int64(size) // #nosec G115 -- of 63 bits
	if c.EightBit, err = in.flag("eight_bit"); err != nil {
		return err
	}
	if c.DeliveredTo, err = in.list("delivered_to"); err != nil {
		return err
	}
	if v, ok := in.scan.Get("ack"); ok && !isNull(v) {
		if c.Ack, err = parseAck(v); err != nil {
			return keyed("ack", err)
		}
	}
	for _, k := range [...]struct {
		key string
		to  *time.Time
	}{{"intended", &c.Intended}, {"sent", &c.Sent}, {"replied", &c.Replied}} {
		t, err := in.instant(k.key)
		if err != nil {
			return err
		}
		if !t.IsZero() {
			*k.to = t
		}
	}
	code, err := in.number("code", 16)
	c.Code = int(code) // #nosec G115 -- of 16 bits
	return err
}

func wantsFailure(notify string) bool {
	return notify == "" || strings.Contains(strings.ToUpper(notify), "FAILURE")
}
