package fault

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Match says which occurrences a rule speaks about: every condition that is present must hold; a list holds when any of its
// members does. The zero value matches everything.
//
// Patterns are an exact name or address, *@domain (any local part), or *.domain (any domain below it, at any depth, but not
// itself). Addresses without a domain are root or <first.last>, and *@ is any of them. Domains, host names and addresses without a
// domain compare without regard to ASCII case, other local parts exactly (RFC 5321 section 2.4). <> is the null sender. A local part
// with * is a pattern itself, bounce+*@domain or bounce+*@*.domain; without a domain, or with @*, it is for any.
type Match struct {
	Listeners   []string        // names
	Clients     []netip.Prefix  // networks of the client's address
	Helos       []string        // host.example or *.example, from helo on
	Senders     []string        // <>, user@domain, *@domain or *.domain, from mail on
	Recipients  []string        // user@domain, *@domain or *.domain, from rcpt on; at message any accepted recipient, in LMTP that one
	Attempts    Range           // the (sender, recipient) pair's n-th RCPT, from rcpt on; at message the highest of the accepted recipients
	Messages    Range           // n-th message of the connection, from mail on
	Connections Range           // the client's n-th connection
	TLS         TLSMatch        // whether the connection is encrypted
	Headers     []HeaderPattern // fields of the message's header, all of them; only at message
	Dialogue                    // what the client said
	Repeats     []HeaderRepeats // how often fields occur in it, all of them; only at message
	Size        SizeRange       // octets of the message: as MAIL has declared them from mail on, as counted at message
	TLSVersions TLSVersions     // encrypted by one of these; not beside TLS; not known at connect and pregreet
	Times       []DayTime       // when it is
	Standings   []string        // names of reactions: a standing of any of them holds
	Levels      Range           // level of the standing; only within its reaction's treatment

	// OutOfOrder makes the rule one for commands that the session would refuse with "bad sequence of commands", and for no others: a rule
	// without it never speaks there.
	OutOfOrder bool
	// Errors makes it one for commands that the session would refuse with any of these, whatever is wrong, and for no others.
	Errors []ErrorPattern
}

// TLSMatch is a condition on a connection's encryption.
type TLSMatch uint8

// The conditions.
const (
	TLSEither TLSMatch = iota
	TLSYes             // encrypted
	TLSNo              // not encrypted
)

// IsZero reports whether there is no condition.
func (m *Match) IsZero() bool {
	return len(m.Listeners) == 0 && len(m.Clients) == 0 && len(m.Helos) == 0 && len(m.Senders) == 0 && len(m.Recipients) == 0 &&
		m.Attempts.IsZero() && m.Messages.IsZero() && m.Connections.IsZero() && m.TLS == TLSEither && len(m.Headers) == 0 && m.Dialogue.isZero() && !m.Wrong() &&
		len(m.Standings) == 0 && m.Levels.IsZero() && len(m.Repeats) == 0 && m.Size == SizeRange{} && m.TLSVersions == TLSVersions{} && len(m.Times) == 0
}

// needs returns what the conditions need.
func (m *Match) needs() Needs {
	return Needs{
		Connections: !m.Connections.IsZero(), Recipients: !m.Attempts.IsZero(), Headers: len(m.Headers) > 0 || len(m.Repeats) > 0, Time: len(m.Times) > 0,
	}.or(m.Dialogue.needs())
}

// Range is a range of ordinals, both ends included, counted from 1. The zero value is every ordinal.
type Range struct {
	From uint64 // 0 and 1: from the first
	To   uint64 // 0: without end
}

// IsZero reports whether the range is every ordinal.
func (r Range) IsZero() bool { return r == Range{} }

// Contains reports whether n lies in the range.
func (r Range) Contains(n uint64) bool { return n >= r.From && (r.To == 0 || n <= r.To) }

// String returns "3", "1-3" or "4-"; the empty string for the zero value.
func (r Range) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.To == 0:
		return fmt.Sprintf("%d-", max(r.From, 1))
	case r.From == r.To:
		return fmt.Sprintf("%d", r.To)
	}
	return fmt.Sprintf("%d-%d", max(r.From, 1), r.To)
}

// ParseRange parses "3", "1-3" or "4-": ordinals from 1, both ends included.
func ParseRange(text string) (Range, error) {
	low, high, span := strings.Cut(text, "-")
	from, err := parseOrdinal(low)
	r := Range{From: from, To: from}
	if err == nil && span {
		r.To = 0
		if high != "" {
			r.To, err = parseOrdinal(high)
		}
	}
	if err != nil || (r.To != 0 && r.To < r.From) {
		return Range{}, fmt.Errorf("invalid range %q (want 3, 1-3 or 4-, counted from 1)", text)
	}
	return r, nil
}

func parseOrdinal(text string) (uint64, error) {
	var n uint64
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || n > 1<<32 {
			return 0, fmt.Errorf("invalid ordinal %q", text)
		}
		n = n*10 + uint64(c-'0')
	}
	if n == 0 {
		return 0, fmt.Errorf("invalid ordinal %q", text)
	}
	return n, nil
}

func knowsHelo(s smtp.Stage) bool   { return s != smtp.StageConnect && s != smtp.StagePregreet }
func knowsSender(s smtp.Stage) bool { return scopeOf(s) == scopeTransaction }
func knowsHeader(s smtp.Stage) bool { return s == smtp.StageMessage }

// validate returns a RuleError's field and cause when a condition isn't known yet at the stage, or is malformed.
func (m *Match) validate(s smtp.Stage) (field string, err error) {
	conditions := [...]struct {
		field   string
		present bool
		known   func(smtp.Stage) bool
		from    string
	}{
		{"match.helo", len(m.Helos) > 0, knowsHelo, "every stage but connect pregreet"},
		{"match.sender", len(m.Senders) > 0, knowsSender, "mail rcpt data bdat message"},
		{"match.recipient", len(m.Recipients) > 0, knowsRecipients, "rcpt data bdat message"},
		{"match.attempt", !m.Attempts.IsZero(), knowsRecipients, "rcpt data bdat message"},
		{"match.message", !m.Messages.IsZero(), knowsSender, "mail rcpt data bdat message"},
		{"match.header", len(m.Headers) > 0, knowsHeader, "message"},
		{"match.repeats", len(m.Repeats) > 0, knowsHeader, "message"},
		{"match.size", m.Size != SizeRange{}, knowsSender, "mail rcpt data bdat message"},
		{"match.tls", m.TLSVersions != TLSVersions{}, knowsHelo, "every stage but connect pregreet"},
	}
	for _, c := range conditions {
		if c.present && !c.known(s) {
			return c.field, fmt.Errorf("not known yet at stage %v (known at: %s)", s, c.from)
		}
	}
	if field, err := m.Dialogue.validate(s); err != nil {
		return field, err
	}
	if len(m.Errors) > 0 && !knowsHelo(s) {
		return "match.error", fmt.Errorf("nothing is wrong at stage %v (valid at every stage but connect pregreet)", s)
	}
	if m.OutOfOrder && (!knowsHelo(s) || s == smtp.StageMessage || s == smtp.StageQuit) {
		return "match.sequence", fmt.Errorf("nothing is out of order at stage %v (valid at every stage but connect pregreet message quit)", s)
	}
	for _, name := range m.Listeners {
		if name == "" {
			return "match.listener", fmt.Errorf("empty listener name")
		}
	}
	for _, network := range m.Clients {
		if !network.IsValid() {
			return "match.client", fmt.Errorf("invalid network (want for example 192.0.2.0/24 or 2001:db8::/32)")
		}
	}
	for _, r := range [...]struct {
		field string
		r     Range
	}{{"match.attempt", m.Attempts}, {"match.message", m.Messages}, {"match.connection", m.Connections}, {"match.level", m.Levels}} {
		if r.r.To != 0 && r.r.To < r.r.From {
			return r.field, fmt.Errorf("empty range %d-%d (want the lower bound first)", r.r.From, r.r.To)
		}
	}
	for _, p := range m.Helos {
		if _, _, err := parseHostPattern(p); err != nil {
			return "match.helo", err
		}
	}
	for _, p := range m.Senders {
		if _, _, err := parsePattern(p, true); err != nil {
			return "match.sender", err
		}
	}
	for _, p := range m.Recipients {
		if _, _, err := parsePattern(p, false); err != nil {
			return "match.recipient", err
		}
	}
	for i := range m.Headers {
		if err := m.Headers[i].validate(); err != nil {
			return "match.header", err
		}
	}
	if m.TLS > TLSNo {
		return "match.tls", fmt.Errorf("unknown value %d", m.TLS)
	}
	return m.validateConditions()
}

// matcher is a Match made ready to be asked. Listener, sender and recipient are what the plan's index looks up; a rule that was
// found by one of them is still asked for the rest.
type matcher struct {
	listeners                     map[string]bool
	helo, sender, recipient       patternSet
	clients                       []netip.Prefix
	attempt, message, connections Range
	tls                           TLSMatch
	headers                       []HeaderPattern // lowered
	dialogue                      dialogueMatcher
	conditions                    *conditions // nil: none of them
	standings                     uint64      // of reactions, by their index: see resolveStandings
	levels                        Range
	levelOf                       int // the reaction whose level it is
	outOfOrder                    bool
	errors                        []ErrorPattern
}

func newMatcher(m *Match) matcher {
	c := matcher{
		attempt: m.Attempts, message: m.Messages, connections: m.Connections, tls: m.TLS, dialogue: newDialogueMatcher(&m.Dialogue),
		conditions: newConditions(m), levels: m.Levels, outOfOrder: m.OutOfOrder, errors: m.Errors,
	}
	for i := range m.Headers {
		c.headers = append(c.headers, m.Headers[i].lowered())
	}
	if len(m.Listeners) > 0 {
		c.listeners = map[string]bool{}
	}
	for _, name := range m.Listeners {
		c.listeners[name] = true
	}
	for _, network := range m.Clients {
		c.clients = append(c.clients, unmapPrefix(network))
	}
	for _, p := range m.Helos {
		kind, name, _ := parseHostPattern(p)
		c.helo.add(kind, name)
	}
	for _, p := range m.Senders {
		kind, name, _ := parsePattern(p, true)
		c.sender.add(kind, name)
	}
	for _, p := range m.Recipients {
		kind, name, _ := parsePattern(p, false)
		c.recipient.add(kind, name)
	}
	return c
}

// unmapPrefix writes an IPv4 network in its own form even if it came mapped into IPv6.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// subject is an occurrence with its addresses in the form that patterns compare: see smtp.AppendAddress.
type subject struct {
	*Occurrence
	sender, helo []byte
	asked        int // rules that were asked
}

// holds reports whether every condition but the recipient's holds.
func (m *matcher) holds(s *subject) bool {
	if m.listeners != nil && !m.listeners[s.Listener] {
		return false
	}
	if m.clients != nil && !m.holdsClient(s.Client) {
		return false
	}
	if !m.connections.Contains(s.ConnN) && !m.connections.IsZero() {
		return false
	}
	if !m.message.Contains(s.MessageN) && !m.message.IsZero() {
		return false
	}
	if !m.attempt.IsZero() {
		n := s.MaxRcptN
		if len(s.Recipient) > 0 {
			n = s.RcptN
		}
		if !m.attempt.Contains(n) {
			return false
		}
	}
	if !m.holdsError(s.Occurrence) {
		return false
	}
	if m.standings != 0 && !holdsStandings(m.standings, s.Levels) {
		return false
	}
	if !m.levels.IsZero() && !m.levels.Contains(s.level(m.levelOf)) {
		return false
	}
	if !m.dialogue.holds(s.Occurrence) {
		return false
	}
	if m.tls != TLSEither && s.TLS != (m.tls == TLSYes) {
		return false
	}
	return (m.helo.empty() || m.helo.containsHost(s.helo)) && (m.sender.empty() || m.sender.contains(s.sender)) &&
		(m.headers == nil || holdsHeaders(m.headers, s.Headers)) && (m.conditions == nil || m.conditions.hold(s.Occurrence))
}

// holdsAll reports whether every condition holds, without an index. It does not allocate for addresses of up to 320 octets.
func (m *matcher) holdsAll(o *Occurrence) bool {
	var space [320]byte
	s := subject{Occurrence: o}
	if !m.helo.empty() {
		s.helo = smtp.AppendDomain(space[:0], o.Helo)
		if !m.helo.containsHost(s.helo) {
			return false
		}
	}
	var senderSpace [320]byte
	if !m.sender.empty() {
		s.sender = smtp.AppendAddress(senderSpace[:0], o.Sender)
	}
	return m.holds(&s) && (m.recipient.empty() || m.holdsRecipient(o))
}

func (m *matcher) holdsRecipient(o *Occurrence) bool {
	var space [320]byte
	if len(o.Recipient) > 0 {
		return m.recipient.contains(smtp.AppendAddress(space[:0], o.Recipient))
	}
	for _, recipient := range o.AcceptedRecipients {
		if m.recipient.contains(smtp.AppendAddress(space[:0], recipient)) {
			return true
		}
	}
	return false
}

func (m *matcher) holdsClient(client netip.Addr) bool {
	client = client.Unmap()
	for _, network := range m.clients {
		if network.Contains(client) {
			return true
		}
	}
	return false
}
