package fault

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Example makes o, which is like any other, an occurrence that fulfils the conditions, and none of the exceptions if one can be found: of a
// list the first member, of a pattern the first that comes to mind, of a range the first ordinal, unless they are excepted. OutOfOrder is
// left out.
func (m *Match) Example(o *Occurrence, except []Match) {
	var x exceptions
	for i := range except {
		x = append(x, newMatcher(&except[i]))
	}
	first := *o
	m.example(&first, 0)
	for n := range maxExamples {
		another := *o
		if m.example(&another, n); !x.hold(&another) {
			*o = another
			return
		}
	}
	*o = first
}

// maxExamples is how many are tried to find one that isn't excepted.
const maxExamples = 64

// example makes o the n-th example, from 0.
func (m *Match) example(o *Occurrence, n int) {
	if len(m.Listeners) > 0 {
		o.Listener = nth(m.Listeners, n)
	}
	if len(m.Clients) > 0 {
		o.Client = exampleClient(nth(m.Clients, n), n)
	}
	if len(m.Helos) > 0 {
		kind, name, _ := parseHostPattern(nth(m.Helos, n))
		o.Helo = []byte(exampleDomain(kind, name, n))
	}
	if len(m.Senders) > 0 {
		o.Sender = exampleAddress(nth(m.Senders, n), true, n)
	}
	if len(m.Recipients) > 0 {
		o.Recipient = exampleAddress(nth(m.Recipients, n), false, n)
		o.AcceptedRecipients = [][]byte{o.Recipient}
	}
	if !m.Attempts.IsZero() {
		o.RcptN = exampleOrdinal(m.Attempts, n)
		o.MaxRcptN = o.RcptN
	}
	if !m.Messages.IsZero() {
		o.MessageN = exampleOrdinal(m.Messages, n)
	}
	if !m.Connections.IsZero() {
		o.ConnN = exampleOrdinal(m.Connections, n)
	}
	if !m.Turns.IsZero() {
		o.Turn = exampleOrdinal(m.Turns, n)
	}
	if !m.Rcpts.IsZero() {
		o.NthRcpt = exampleOrdinal(m.Rcpts, n)
	}
	if m.TLS != TLSEither {
		o.TLS = m.TLS == TLSYes
	}
	if len(m.Parameters) > 0 {
		o.Parameters = []byte(strings.NewReplacer("*", "1", "?", "1").Replace(m.Parameters[0]))
	}
	if len(m.Headers) > 0 || len(m.Repeats) > 0 {
		o.Headers = exampleHeader(m, o.Headers)
	}
	if m.Size != (SizeRange{}) {
		o.Size = max(m.Size.From, 1)
		if m.Size.To > 0 {
			o.Size = min(o.Size+int64(n), m.Size.To)
		}
	}
	if v := m.TLSVersions; v != (TLSVersions{}) {
		o.TLS, o.TLSVersion = true, min(v.Min+TLSVersion(n), v.Max) // #nosec G115 -- below maxExamples
	}
	if len(m.Times) > 0 {
		d := nth(m.Times, n)
		o.Time = d.example(o.Time, n)
	}
}

func nth[T any](list []T, n int) T { return list[n%len(list)] }

// exampleClient returns the n-th address of a network: its first, and then by halves towards its last.
func exampleClient(network netip.Prefix, n int) netip.Addr {
	network = unmapPrefix(network)
	octets := network.Addr().AsSlice()
	for bit := network.Bits(); bit < 8*len(octets) && n > 0; bit, n = bit+1, n-1 {
		octets[bit/8] |= 0x80 >> (bit % 8)
	}
	client, _ := netip.AddrFromSlice(octets)
	return client
}

func exampleOrdinal(r Range, n int) uint64 {
	ordinal := max(r.From, 1) + uint64(n) // #nosec G115 -- below maxExamples
	if r.To != 0 {
		ordinal = min(ordinal, r.To)
	}
	return ordinal
}

// exampleName is the n-th name that comes to mind.
func exampleName(n int) string {
	if n == 0 {
		return "any"
	}
	return "any" + strconv.Itoa(n)
}

func exampleDomain(kind patternKind, name string, n int) string {
	if kind == patternBelow {
		return exampleName(n) + "." + name
	}
	return name
}

func exampleAddress(pattern string, sender bool, n int) []byte {
	kind, name, _ := parsePattern(pattern, sender)
	switch {
	case kind == patternExact:
		return []byte(name)
	case kind == patternGlob:
		return exampleOfGlob(name, n)
	case name == "": // *@
		return []byte(exampleName(n))
	}
	return []byte(exampleName(n) + "@" + exampleDomain(kind, name, n))
}

// exampleOfGlob fills in a glob's local part and domain.
func exampleOfGlob(name string, n int) []byte {
	g := newGlob(name)
	local, domain := strings.ReplaceAll(g.local, "*", exampleName(n)), g.domain
	switch g.where {
	case patternBelow:
		domain = exampleDomain(patternBelow, domain, n)
	case patternDomain:
		domain = "recipient.invalid"
	}
	return []byte(local + "@" + domain)
}

// example returns a time in the window, of the day of another time: the n-th minute of it.
func (d DayTime) example(day time.Time, n int) time.Time {
	w := newWindow(d)
	at := day.In(w.zone)
	at = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, w.zone)
	length := (w.to - w.from + dayMinutes) % dayMinutes
	if length == 0 {
		length = w.to - w.from
	}
	at = at.Add(time.Duration(w.from+n*max(1, length/maxExamples)%max(1, length)) * time.Minute)
	for range dayMinutes { // a zone may have skipped it
		if w.holds(at) {
			break
		}
		at = at.Add(time.Minute)
	}
	return at.UTC()
}

// ExampleField is a field of an example's header.
type ExampleField struct{ Name, Value string }

// ExampleHeader is the header of an example.
type ExampleHeader []ExampleField

// exampleHeader adds fields that fulfil patterns and repetitions to those of another example.
func exampleHeader(m *Match, other Headers) (fields ExampleHeader) {
	if h, ok := other.(ExampleHeader); ok {
		for _, f := range h {
			if !slices.ContainsFunc(m.Repeats, func(r HeaderRepeats) bool { return strings.EqualFold(r.Name, f.Name) }) {
				fields = append(fields, f)
			}
		}
	}
	for _, p := range m.Headers {
		fields = append(fields, ExampleField{p.Name, strings.NewReplacer("*", "", "?", "x").Replace(p.Globs[0])})
	}
	for _, r := range m.Repeats {
		for have := fields.count(r.Name); have < r.From; have++ {
			fields = append(fields, ExampleField{r.Name, "x"})
		}
	}
	return fields
}

func (h ExampleHeader) count(name string) (n int) {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			n++
		}
	}
	return n
}

// Header implements Headers.
func (h ExampleHeader) Header(name string, from int) (value []byte, next int, ok bool) {
	for i := from; i < len(h); i++ {
		if strings.EqualFold(h[i].Name, name) {
			return []byte(h[i].Value), i + 1, true
		}
	}
	return nil, 0, false
}
