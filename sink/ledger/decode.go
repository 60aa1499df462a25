package ledger

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxNames bounds the names (listeners, plans, rules, ...) that a decoder keeps to share their strings.
const maxNames = 4096

// decoder turns lines into rows. The slices of a row are valid until the next one.
type decoder struct {
	scan  scanner
	names map[string]string
}

// field says how a key of a row is read.
type field struct {
	key      string
	required bool
	set      func(*decoder, *event.Row, value) error
}

// decode parses one line, without its line feed. It takes exactly the keys of the row's kind, in any order.
func (d *decoder) decode(line []byte, row *event.Row) error {
	if err := d.scan.scan(line); err != nil {
		return err
	}
	val, ok := d.scan.get("kind")
	if !ok {
		return &keyError{"kind", errMissing}
	}
	name, err := val.text()
	if err != nil {
		return &keyError{"kind", err}
	}
	kind, err := event.ParseKind(name)
	if err != nil {
		return &keyError{"kind", err}
	}
	reset(row, kind)
	fields := rowFields[kind]
	var seen uint64
	for _, m := range d.scan.members {
		i := fieldIndex(fields, m.key)
		if i < 0 {
			if string(m.key) == "kind" {
				continue
			}
			return &keyError{string(m.key), fmt.Errorf("unknown in a row of kind %s (valid: kind %s)", kind, fieldKeys(fields))}
		}
		if err := fields[i].set(d, row, m.val); err != nil {
			return &keyError{fields[i].key, err}
		}
		seen |= 1 << i
	}
	for i, f := range fields {
		if f.required && seen&(1<<i) == 0 {
			return &keyError{f.key, errMissing}
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

func fieldKeys(fields []field) string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return strings.Join(keys, " ")
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
	}
}

// name returns the string, shared by all rows that have it.
func (d *decoder) name(v value) (string, error) {
	b, err := v.text()
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

func (v value) text() ([]byte, error) {
	if v.shape != shapeString {
		return nil, v.not("a string")
	}
	return v.b, nil
}

func (v value) not(want string) error {
	return fmt.Errorf("%s where %s is due", shapeNames[v.shape], want)
}

func (v value) uint(bits int) (uint64, error) {
	if v.shape != shapeNumber {
		return 0, v.not("a number")
	}
	var n, limit uint64 = 0, 1<<bits - 1
	for _, c := range v.b {
		digit := uint64(c - '0')
		if c < '0' || c > '9' || n > (limit-digit)/10 {
			return 0, fmt.Errorf("%s is no whole number from 0 to %d", v.b, limit)
		}
		n = n*10 + digit
	}
	return n, nil
}

func (v value) bool() (bool, error) {
	if v.shape != shapeBool {
		return false, v.not("a boolean")
	}
	return v.b[0] == 't', nil
}

// instant parses a time of RFC 3339. Rows are written in UTC; other offsets are taken and become UTC.
func (v value) instant() (time.Time, error) {
	b, err := v.text()
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if err := t.UnmarshalText(b); err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-01-31T10:20:30.5Z (RFC 3339)", b)
	}
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}, fmt.Errorf("%q is not between the years 0 and 9999 in UTC", b)
	}
	return t, nil
}

func (v value) stage() (smtp.Stage, error) {
	b, err := v.text()
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
func (v value) code() (smtp.Code, error) {
	n, err := v.uint(16)
	if err != nil {
		return 0, err
	}
	if n < 100 || n > 999 {
		return 0, fmt.Errorf("%d is no reply code (want three digits)", n)
	}
	return smtp.Code(n), nil
}

func (v value) enhanced() (smtp.Enhanced, error) {
	b, err := v.text()
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

func (v value) client() (netip.AddrPort, error) {
	b, err := v.text()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var a netip.AddrPort
	if err := a.UnmarshalText(b); err != nil || !a.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port such as 192.0.2.1:25 or [2001:db8::1]:25", b)
	}
	return a, nil
}

func (v value) ending() (event.Ending, error) {
	b, err := v.text()
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

func (v value) format() error {
	b, err := v.text()
	if err == nil && string(b) != Format {
		err = fmt.Errorf("%q is unknown (valid: %s)", b, Format)
	}
	return err
}

func (v value) durability() (event.Durability, error) {
	b, err := v.text()
	if err != nil {
		return 0, err
	}
	return event.ParseDurability(string(b))
}

func (v value) size() (int64, error) {
	n, err := v.uint(63)
	return int64(n), err // #nosec G115 -- of 63 bits
}

var errEmptyReason = errors.New("is empty")

func (d *decoder) reason(v value) (string, error) {
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
