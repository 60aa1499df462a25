package fault

import "strings"

// Example makes o, which is like any other, an occurrence that fulfils the conditions: of a list the first member, of a pattern the first
// that comes to mind, of a range the first ordinal. OutOfOrder is left out.
func (m *Match) Example(o *Occurrence) {
	if len(m.Listeners) > 0 {
		o.Listener = m.Listeners[0]
	}
	if len(m.Clients) > 0 {
		o.Client = unmapPrefix(m.Clients[0]).Addr()
	}
	if len(m.Helos) > 0 {
		kind, name, _ := parseHostPattern(m.Helos[0])
		o.Helo = []byte(exampleDomain(kind, name))
	}
	if len(m.Senders) > 0 {
		o.Sender = exampleAddress(m.Senders[0], true)
	}
	if len(m.Recipients) > 0 {
		o.Recipient = exampleAddress(m.Recipients[0], false)
		o.AcceptedRecipients = [][]byte{o.Recipient}
	}
	if !m.Attempts.IsZero() {
		o.RcptN = max(m.Attempts.From, 1)
		o.MaxRcptN = o.RcptN
	}
	if !m.Messages.IsZero() {
		o.MessageN = max(m.Messages.From, 1)
	}
	if !m.Connections.IsZero() {
		o.ConnN = max(m.Connections.From, 1)
	}
	if m.TLS != TLSEither {
		o.TLS = m.TLS == TLSYes
	}
	if len(m.Headers) > 0 {
		o.Headers = exampleHeaders(m.Headers)
	}
}

func exampleDomain(kind patternKind, name string) string {
	if kind == patternBelow {
		return "any." + name
	}
	return name
}

func exampleAddress(pattern string, sender bool) []byte {
	kind, name, _ := parsePattern(pattern, sender)
	switch {
	case kind == patternExact:
		return []byte(name)
	case name == "": // *@
		return []byte("any")
	}
	return []byte("any@" + exampleDomain(kind, name))
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
