package ledger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxNames bounds the names (listeners, plans, rules, ...) that a decoder keeps to share their strings.
const maxNames = 4096

// decoder turns lines into rows. The slices of a row are valid until the next one.
type decoder struct {
	scan  jsonl.Scanner
	names map[string]string

	projections *[event.NumKinds]*projection // see project; nil: rows are read whole
	client, via lastClient
}

// field says how a key of a row is read.
type field struct {
	key      string
	required bool
	set      func(*decoder, *event.Row, jsonl.Value) error
}

// decode parses one line, without its line feed. It takes the keys of the row's kind, in any order, and ignores others. The error of a
// kind that it doesn't know is errLater.
func (d *decoder) decode(line []byte, row *event.Row) error {
	if err := d.scan.Scan(line); err != nil {
		return err
	}
	val, ok := d.scan.Get("kind")
	if !ok {
		return &jsonl.KeyError{Key: "kind", Err: jsonl.ErrMissing}
	}
	name, err := val.Text()
	if err != nil {
		return &jsonl.KeyError{Key: "kind", Err: err}
	}
	kind, err := kindOf(name)
	if err != nil {
		return &jsonl.KeyError{Key: "kind", Err: err}
	}
	reset(row, kind)
	fields := rowFields[kind]
	var seen uint64
	next := 0 // rows have their keys in this order
	for _, m := range d.scan.Members {
		for next < len(fields) && !fields[next].required && fields[next].key != string(m.Key) {
			next++
		}
		i := next
		if i >= len(fields) || fields[i].key != string(m.Key) {
			i = fieldIndex(fields, m.Key)
		}
		next = i + 1
		if i < 0 {
			continue // "kind", or of a later version
		}
		if err := fields[i].set(d, row, m.Val); err != nil {
			return &jsonl.KeyError{Key: fields[i].key, Err: err}
		}
		seen |= 1 << i
	}
	for i, f := range fields {
		if f.required && seen&(1<<i) == 0 {
			return &jsonl.KeyError{Key: f.key, Err: jsonl.ErrMissing}
		}
	}
	return nil
}

func fieldIndex(fields []field, key []byte) int {
	for i := range fields {
		if fields[i].key == string(key) {
			return i
		}
	}
	return -1
}

// errLater says that the row is of a kind that this version doesn't know.
var errLater = errors.New("a row of a kind that only a later version knows")

// kindOf returns the kind of that name. Format 1 calls the row that starts a run "header".
func kindOf(name []byte) (event.Kind, error) {
	if string(name) == "header" {
		return event.KindStart, nil
	}
	kind, err := event.ParseKind(name)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errLater, err)
	}
	return kind, nil
}

// reset makes the row an empty one of the kind.
func reset(r *event.Row, kind event.Kind) {
	r.Kind = kind
	switch kind {
	case event.KindStart:
		r.Start = event.Start{}
	case event.KindConnection:
		r.Connection = event.Connection{}
	case event.KindTransaction:
		r.Transaction = event.Transaction{}
	case event.KindAttempt:
		r.Attempt = event.Attempt{}
	case event.KindSwap:
		r.Swap = event.Swap{}
	case event.KindGap:
		r.Gap = event.Gap{}
	case event.KindMessage:
		r.Message = event.Message{}
	case event.KindTold:
		r.Told = event.Exception{}
	case event.KindPhase:
		r.Phase = event.Phase{}
	case event.KindStop:
		r.Stop = event.Stop{}
	case event.KindStorm:
		r.Storm = event.Storm{}
	case event.KindReset:
		r.Reset = event.Reset{}
	case event.KindStanding:
		r.Standing = event.Standing{}
	}
}

// name returns the string, shared by all rows that have it.
func (d *decoder) name(v jsonl.Value) (string, error) {
	b, err := v.Text()
	if err != nil {
		return "", err
	}
	if s, ok := d.names[string(b)]; ok {
		return s, nil
	}
	s := string(b)
	if len(d.names) < maxNames {
		if d.names == nil {
			d.names = make(map[string]string)
		}
		d.names[s] = s
	}
	return s, nil
}

func stageOf(v jsonl.Value) (smtp.Stage, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	for s := range smtp.NumStages {
		if smtp.Stage(s).String() == string(b) {
			return smtp.Stage(s), nil
		}
	}
	_, err = smtp.ParseStage(string(b))
	return 0, err
}

// code parses a reply code. A plan may say any code from 200 to 599 and a malformed reply any three digits.
func codeOf(v jsonl.Value) (smtp.Code, error) {
	n, err := v.Uint(16)
	if err != nil {
		return 0, err
	}
	if n < 100 || n > 999 {
		return 0, fmt.Errorf("%d is no reply code (want three digits)", n)
	}
	return smtp.Code(n), nil
}

func enhancedOf(v jsonl.Value) (smtp.Enhanced, error) {
	b, err := v.Text()
	if err != nil {
		return smtp.Enhanced{}, err
	}
	e, rest, ok := smtp.CutEnhanced(b)
	if !ok || len(rest) > 0 || b[len(b)-1] == ' ' {
		_, err := smtp.ParseEnhanced(string(b))
		return smtp.Enhanced{}, err
	}
	return e, nil
}

// clientOf takes an address; rows of one client follow each other.
// lastClient is the last address and port of a key: the next row often has the same.
type lastClient struct {
	text   []byte
	client netip.AddrPort
}

func (l *lastClient) of(v jsonl.Value) (netip.AddrPort, error) {
	b, err := v.Text()
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(b) > 0 && bytes.Equal(b, l.text) {
		return l.client, nil
	}
	var a netip.AddrPort
	if err := a.UnmarshalText(b); err != nil || !a.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port such as 192.0.2.1:25 or [2001:db8::1]:25", b)
	}
	l.text, l.client = append(l.text[:0], b...), a
	return a, nil
}

func endingOf(v jsonl.Value) (event.Ending, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	for e := range event.NumEndings {
		if event.Ending(e).String() == string(b) {
			return event.Ending(e), nil
		}
	}
	return event.ParseEnding(string(b))
}

func formatOf(v jsonl.Value) error {
	b, err := v.Text()
	if err == nil && string(b) != Format && string(b) != format1 {
		err = fmt.Errorf("%q is unknown (valid: %s %s)", b, Format, format1)
	}
	return err
}

func durabilityOf(v jsonl.Value) (event.Durability, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	return event.ParseDurability(string(b))
}

func sizeOf(v jsonl.Value) (int64, error) {
	n, err := v.Uint(63)
	return int64(n), err // #nosec G115 -- of 63 bits
}

func queueIDOf(v jsonl.Value) (uint64, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	return smtp.ParseQueueID(string(b))
}

func fingerprintOf(v jsonl.Value) (f [16]byte, err error) {
	b, err := v.Text()
	if err != nil {
		return f, err
	}
	if n, err := hex.Decode(f[:], b[:min(len(b), 2*len(f))]); err != nil || n != len(f) || len(b) != 2*len(f) || bytes.ContainsAny(b, "ABCDEF") {
		return f, fmt.Errorf("%s is no fingerprint (want 32 hexadecimal digits in lower case)", quote(b))
	}
	return f, nil
}

var standingReasons = []string{event.StandingWhen, event.StandingWorse, event.StandingBack, event.StandingFirstSight, event.StandingForgiven}

func standingReasonOf(v jsonl.Value) (string, error) {
	b, err := v.Text()
	if err != nil {
		return "", err
	}
	for _, reason := range standingReasons {
		if reason == string(b) {
			return reason, nil
		}
	}
	return "", fmt.Errorf("unknown reason %s (valid: %s)", quote(b), strings.Join(standingReasons, " "))
}

func levelOf(v jsonl.Value) (uint64, error) {
	n, err := v.Uint(8)
	if err == nil && n > maxLevel {
		err = fmt.Errorf("%d is out of range (want 0 to %d)", n, maxLevel)
	}
	return n, err
}

// maxLevel is the highest level of a standing.
const maxLevel = 62

func toldOf(v jsonl.Value) (event.Told, error) {
	b, err := v.Text()
	if err != nil {
		return 0, err
	}
	for t := range event.NumTold {
		if t > 0 && event.Told(t).String() == string(b) {
			return event.Told(t), nil
		}
	}
	return event.ParseTold(string(b))
}

var errEmptyReason = errors.New("is empty")

func (d *decoder) reason(v jsonl.Value) (string, error) {
	s, err := d.name(v)
	if err == nil && s == "" {
		err = errEmptyReason
	}
	return s, err
}

// quote is used by errors that show a piece of a line.
func quote(b []byte) string {
	const most = 40
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "..."
	}
	return strconv.Quote(string(b))
}
