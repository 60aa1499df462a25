package fault

import (
	"errors"
	"strings"
)

// conditions are those of a match that few plans have: others pay one comparison for them.
type conditions struct {
	size     SizeRange
	versions TLSVersions
	repeats  []HeaderRepeats // their names lowered
	times    []window
}

// newConditions returns nil when the match has none.
func newConditions(m *Match) *conditions {
	if m.Size == (SizeRange{}) && m.TLSVersions == (TLSVersions{}) && len(m.Repeats) == 0 && len(m.Times) == 0 {
		return nil
	}
	c := &conditions{size: m.Size, versions: m.TLSVersions}
	for _, r := range m.Repeats {
		r.Name = strings.ToLower(r.Name)
		c.repeats = append(c.repeats, r)
	}
	for _, d := range m.Times {
		c.times = append(c.times, newWindow(d))
	}
	return c
}

// hold reports whether all of them hold. It does not allocate.
func (c *conditions) hold(o *Occurrence) bool {
	if c.size != (SizeRange{}) && !c.size.holds(o) {
		return false
	}
	if v := c.versions; v != (TLSVersions{}) && (o.TLSVersion < v.Min || o.TLSVersion > v.Max) {
		return false
	}
	for i := range c.repeats {
		if !c.repeats[i].holds(o.Headers) {
			return false
		}
	}
	for i := range c.times {
		if c.times[i].holds(o.Time) {
			return true
		}
	}
	return len(c.times) == 0
}

var (
	errSizeRange   = errors.New("empty range (want the lower bound first, at least 0)")
	errTLSTwice    = errors.New("both whether there is TLS, and its versions (want one of them)")
	errTLSVersions = errors.New("unknown versions (want 1.0 to 1.3, the lower first)")
)

// recalled leaves out what the rows of a ledger don't tell of a RCPT; nil when nothing is left.
func (c *conditions) recalled() *conditions {
	if c == nil || len(c.times) == 0 {
		return nil
	}
	return &conditions{times: c.times}
}

// validateConditions returns a field and cause as Match.validate does.
func (m *Match) validateConditions() (field string, err error) {
	if r := m.Size; r.From < 0 || r.To < 0 || r.To != 0 && r.To < r.From {
		return "match.size", errSizeRange
	}
	for i := range m.Repeats {
		if err := m.Repeats[i].validate(); err != nil {
			return "match.repeats", err
		}
	}
	for _, d := range m.Times {
		if err := d.validate(); err != nil {
			return "match.time", err
		}
	}
	switch v := m.TLSVersions; {
	case v == TLSVersions{}:
	case m.TLS != TLSEither:
		return "match.tls", errTLSTwice
	case v.Min < TLS10 || v.Max > TLS13 || v.Max < v.Min:
		return "match.tls", errTLSVersions
	}
	return "", nil
}
