package fault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Scope says whose occurrences are counted together: those that agree in each of its identities. It is a set of these, ScopeAll, or zero
// when a plan says nothing. Scopes are comparable; those that mean the same are equal.
//
// The bits of ScopeNetwork go with the lengths of its prefixes: see NetworkScope.
type Scope uint32

// The identities, in the order in which they are written, and everybody together. They are joined by |.
const (
	ScopeClient          Scope = 1 << iota // the client's address
	scopeNetwork                           // the network of that address
	ScopeHelo                              // the argument of HELO, EHLO or LHLO
	ScopeConnection                        // one connection
	ScopeSender                            // the reverse-path; the null sender is one
	ScopeSenderDomain                      // its domain; the null sender has one of its own
	ScopeRecipient                         // the forward-path
	ScopeRecipientDomain                   // its domain
	ScopeAll                               // nothing tells occurrences apart; it stands alone

	// ScopeNetwork is the network of the client's address: /24 of IPv4, /64 of IPv6. Large senders retry from another host of the same.
	ScopeNetwork = scopeNetwork | usualBits4<<shift4 | usualBits6<<shift6
)

const (
	usualBits4, usualBits6 = 24, 64
	shift4, shift6         = 16, 24
)

// NetworkScope is ScopeNetwork with other lengths of prefix: 1 to 32 bits of IPv4, 1 to 128 of IPv6.
func NetworkScope(bits4, bits6 int) Scope {
	return scopeNetwork | Scope(bits4)<<shift4 | Scope(bits6)<<shift6 // #nosec G115 -- at most 32 and 128
}

type identity struct {
	scope Scope
	name  string
	words string // "per" these
	known func(smtp.Stage) bool
	from  string
}

// identities are what scopes are made of: the vocabulary of the key scope of limits, and of whatever else keeps counts apart.
var identities = [...]identity{
	{ScopeClient, "client", "client", always, ""},
	{ScopeNetwork, "network", "network", always, ""},
	{ScopeHelo, "helo", "HELO", knowsHelo, "every stage but connect pregreet"},
	{ScopeConnection, "connection", "connection", always, ""},
	{ScopeSender, "sender", "sender", knowsSender, "mail rcpt data bdat message"},
	{ScopeSenderDomain, "sender-domain", "sender domain", knowsSender, "mail rcpt data bdat message"},
	{ScopeRecipient, "recipient", "recipient", isRcpt, "rcpt"},
	{ScopeRecipientDomain, "recipient-domain", "recipient domain", isRcpt, "rcpt"},
	{ScopeAll, "all", "everybody", always, ""},
}

func always(smtp.Stage) bool   { return true }
func isRcpt(s smtp.Stage) bool { return s == smtp.StageRcpt }

// Has reports whether the scope has all identities of another, whatever their networks' lengths.
func (s Scope) Has(o Scope) bool { return s&o&identityBits == o&identityBits }

// Meets reports whether the scope has any identity of another.
func (s Scope) Meets(o Scope) bool { return s&o&identityBits != 0 }

const identityBits = 1<<shift4 - 1

// bits returns the lengths of the prefixes of ScopeNetwork.
func (s Scope) bits() (bits4, bits6 int) { return int(s >> shift4 & 0xff), int(s >> shift6 & 0xff) }

// Identities returns the single identities, in order.
func (s Scope) Identities() (list []Scope) {
	for i := range identities {
		if one := identities[i].scope & identityBits; s&one != 0 {
			if one == scopeNetwork {
				one |= s &^ identityBits
			}
			list = append(list, one)
		}
	}
	return list
}

// String returns the names of the identities as plans write them, with blanks between; empty for the zero value.
func (s Scope) String() string {
	var names []string
	for _, one := range s.Identities() {
		name := identities[one.index()].name
		if bits4, bits6 := one.bits(); one.Has(scopeNetwork) && one != ScopeNetwork {
			name += fmt.Sprintf("/%d/%d", bits4, bits6)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// Words says whose counts are kept apart: "per client", "per (client, sender domain)", or "in all".
func (s Scope) Words() string {
	if s == ScopeAll {
		return "in all"
	}
	return "per " + s.Each()
}

// Each names what has a count of its own: "client", or "(client, sender domain)".
func (s Scope) Each() string {
	var names []string
	for _, one := range s.Identities() {
		name := identities[one.index()].words
		if bits4, bits6 := one.bits(); one.Has(scopeNetwork) && one != ScopeNetwork {
			name += fmt.Sprintf(" (/%d or /%d)", bits4, bits6)
		}
		names = append(names, name)
	}
	if len(names) == 1 {
		return names[0]
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// index returns the place of a single identity.
func (s Scope) index() int {
	return slices.IndexFunc(identities[:], func(x identity) bool { return s.Meets(x.scope) })
}

// ScopeNames returns the names of the identities, in order.
func ScopeNames() []string {
	names := make([]string, len(identities))
	for i := range identities {
		names[i] = identities[i].name
	}
	return names
}

// ParseIdentity parses one identity: a name, or network/BITS4/BITS6. The error names the valid ones.
func ParseIdentity(text string) (Scope, error) {
	for i := range identities {
		if identities[i].name == text {
			return identities[i].scope, nil
		}
	}
	if lengths, ok := strings.CutPrefix(text, "network/"); ok {
		v4, v6, _ := strings.Cut(lengths, "/")
		bits4, err4 := strconv.ParseUint(v4, 10, 8)
		bits6, err6 := strconv.ParseUint(v6, 10, 8)
		if err4 != nil || err6 != nil || bits4 < 1 || bits4 > 32 || bits6 < 1 || bits6 > 128 {
			return 0, fmt.Errorf("invalid network %q (want network, or its bits of IPv4 and of IPv6 such as network/%d/%d)", text, usualBits4, usualBits6)
		}
		return NetworkScope(int(bits4), int(bits6)), nil // #nosec G115 -- at most 32 and 128, see above
	}
	return 0, fmt.Errorf("unknown scope %q (valid: %s)", text, strings.Join(ScopeNames(), " "))
}

// JoinScopes joins single identities. None may come twice, and all stands alone.
func JoinScopes(list []Scope) (s Scope, err error) {
	for _, one := range list {
		if s.Meets(one) {
			return 0, fmt.Errorf("%s is given twice", identities[one.index()].name)
		}
		s |= one
	}
	return s, s.validate()
}

// validate checks what joining single identities can get wrong.
func (s Scope) validate() error {
	bits4, bits6 := s.bits()
	switch network := s.Has(scopeNetwork); {
	case s.Has(ScopeAll) && s != ScopeAll:
		return errors.New("all stands alone: it means that nothing tells occurrences apart")
	case s&identityBits >= ScopeAll<<1, network && (bits4 < 1 || bits4 > 32 || bits6 < 1 || bits6 > 128), !network && s > identityBits:
		return fmt.Errorf("unknown scope %#x", uint32(s))
	}
	return nil
}

// KnownAt returns an error when an identity is not known yet at the stage, or not as one.
func (s Scope) KnownAt(stage smtp.Stage) error {
	for i := range identities {
		if x := &identities[i]; s.Meets(x.scope) && !x.known(stage) {
			return fmt.Errorf("the %s is not known at stage %v (known at: %s)", x.words, stage, x.from)
		}
	}
	return nil
}

// network returns the network that the scope takes for a client. It is invalid for a unix socket.
func (s Scope) network(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits4, bits := s.bits()
	if client.Is4() {
		bits = bits4
	}
	network, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// AppendKey appends to dst what tells an occurrence's count from others: nothing for ScopeAll, and otherwise each identity, of a fixed
// length or with its length before it. Addresses are as smtp.AppendAddress writes them; a client has 16 octets and one that is 0 for a unix
// socket, so that 192.0.2.1 and ::ffff:192.0.2.1 are one. It does not allocate when dst has room: keys have up to 17 octets, 4 more
// an identity, and the names.
func (s Scope) AppendKey(dst []byte, o *Occurrence) []byte {
	if s.Has(ScopeClient) {
		dst = appendClientKey(dst, o.Client)
	}
	if s.Has(scopeNetwork) {
		dst = appendClientKey(dst, s.network(o.Client).Addr())
	}
	if s.Has(ScopeHelo) {
		dst = appendHost(dst, o.Helo)
	}
	if s.Has(ScopeConnection) {
		dst = binary.LittleEndian.AppendUint64(dst, o.Connection)
	}
	if s.Has(ScopeSender) {
		dst = appendAddressField(dst, o.Sender)
	}
	if s.Has(ScopeSenderDomain) {
		if len(o.Sender) == 0 { // DSNs come from somewhere, but no domain
			dst = appendHost(dst, nullSender)
		} else {
			dst = appendHost(dst, smtp.DomainOf(o.Sender))
		}
	}
	if s.Has(ScopeRecipient) {
		dst = appendAddressField(dst, o.Recipient)
	}
	if s.Has(ScopeRecipientDomain) {
		dst = appendHost(dst, smtp.DomainOf(o.Recipient))
	}
	return dst
}

// nullSender is the name of its domain in keys, which no domain has.
var nullSender = []byte("<>")

func appendClientKey(dst []byte, client netip.Addr) []byte {
	octets := client.As16()
	known := byte(0)
	if client.IsValid() {
		known = 1
	}
	return append(append(dst, octets[:]...), known)
}

// appendHost appends a host name with its length before it.
func appendHost(dst, name []byte) []byte {
	at := len(dst)
	dst = smtp.AppendDomain(appendLength(dst, 0), name)
	setLength(dst, at)
	return dst
}
