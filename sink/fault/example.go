package fault

import (
	"net/netip"
	"strconv"
	"strings"
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
	if m.TLS != TLSEither {
		o.TLS = m.TLS == TLSYes
	}
	if len(m.Parameters) > 0 {
		o.Parameters = []byte(strings.NewReplacer("*", "1", "?", "1").Replace(m.Parameters[0]))
	}
	if len(m.Headers) > 0 {
		o.Headers = exampleHeaders(m.Headers)
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
	case name == "": // *@
		return []byte(exampleName(n))
	}
	return []byte(exampleName(n) + "@" + exampleDomain(kind, name, n))
}

// exampleHeaders are fields that fulfil patterns, as Headers.
type exampleHeaders []HeaderPattern

// Header implements Headers.
func (h exampleHeaders) Header(name string, from int) (value []byte, next int, ok bool) {
	for i := from; i < len(h); i++ {
		if strings.EqualFold(h[i].Name, name) {
			return []byte(strings.NewReplacer("*", "", "?", "x").Replace(h[i].Globs[0])), i + 1, true
		}
	}
	return nil, 0, false
}
