package fault

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Service is how a listener serves, where that is not as its server does for all. The zero value is as the server does.
type Service struct {
	MaxSize     int64         // of a message in octets, as SIZE announces it (RFC 1870); 0: the server's, negative: no limit
	IdleTimeout time.Duration // 0: the server's
	Mechanisms  []string      // of AUTH, in upper case, of those that the server has; nil: all of them
	TLS         TLSVersions   // zero: all
	Limits      ServiceLimits // zero: LIMITS is not announced, and nothing of it honoured
	RequireTLS  RequireTLS    // what becomes of REQUIRETLS
	// PRDR offers replies by recipient after the body (draft-hall-prdr) to clients that ask for them with MAIL.
	PRDR bool
	// ProxyProtocol wants each connection to begin with a PROXY header, which says whose it is.
	ProxyProtocol bool
	// XClient are the networks whose clients may use XCLIENT: to be another client. nil: nobody.
	XClient []netip.Prefix
}

// ServiceLimits are those of RFC 9422, which a listener honours, and announces unless a rule says otherwise. 0: no such limit.
type ServiceLimits struct {
	MailMax       int // MAIL commands in a session
	RcptMax       int // RCPT commands in a transaction
	RcptDomainMax int // different domains of recipients in a session
}

// MaxServiceLimit is the highest of the limits.
const MaxServiceLimit = 100_000

// String returns the limits as LIMITS announces them; empty without any.
func (l ServiceLimits) String() string {
	var words []string
	for _, p := range [...]struct {
		name string
		max  int
	}{{"MAILMAX", l.MailMax}, {"RCPTMAX", l.RcptMax}, {"RCPTDOMAINMAX", l.RcptDomainMax}} {
		if p.max > 0 {
			words = append(words, fmt.Sprintf("%s=%d", p.name, p.max))
		}
	}
	return strings.Join(words, " ")
}

// RequireTLS says what becomes of REQUIRETLS (RFC 8689).
type RequireTLS uint8

// The choices. All but the first announce it within TLS.
const (
	RequireTLSOff    RequireTLS = iota // the parameter is unknown
	RequireTLSAccept                   // MAIL with the parameter is like any other
	RequireTLSRefuse                   // MAIL with the parameter is refused: 550 5.7.30
)

var requireTLSNames = [...]string{"off", "accept", "refuse"}

// String returns the name as plans write it.
func (r RequireTLS) String() string { return nameOf(requireTLSNames[:], int(r)) }

// ParseRequireTLS parses a name; the error names the valid ones.
func ParseRequireTLS(name string) (RequireTLS, error) {
	return parseName[RequireTLS]("choice", name, requireTLSNames[:], 0)
}

// TLSVersion is a version of TLS as records write it: 0x0303 for TLS 1.2. 0 is none.
type TLSVersion uint16

// The versions that a listener may speak.
const (
	TLS10 TLSVersion = 0x0301 + iota
	TLS11
	TLS12
	TLS13
)

// String returns "1.2".
func (v TLSVersion) String() string { return fmt.Sprintf("1.%d", int(v)-int(TLS10)) }

// TLSVersions are those that a listener speaks, from the lowest to the highest. The zero value is all.
type TLSVersions struct{ Min, Max TLSVersion }

// ParseTLSVersions parses "1.2", "1.0-1.2" or "1.2-" (that and all later).
func ParseTLSVersions(text string) (TLSVersions, error) {
	from, to, ranged := strings.Cut(text, "-")
	v := TLSVersions{Min: tlsVersionOf(from), Max: tlsVersionOf(to)}
	switch {
	case !ranged:
		v.Max = v.Min
	case to == "":
		v.Max = TLS13
	}
	if v.Min == 0 || v.Max == 0 || v.Max < v.Min {
		return TLSVersions{}, fmt.Errorf("invalid TLS versions %q (want one of 1.0 1.1 1.2 1.3, or a range such as 1.0-1.2 or 1.2-)", text)
	}
	return v, nil
}

func tlsVersionOf(text string) TLSVersion {
	for v := TLS10; v <= TLS13; v++ {
		if v.String() == text {
			return v
		}
	}
	return 0
}

// String returns the versions as ParseTLSVersions reads them; empty for all.
func (v TLSVersions) String() string {
	switch {
	case v == TLSVersions{}:
		return ""
	case v.Min == v.Max:
		return v.Min.String()
	case v.Max == TLS13:
		return v.Min.String() + "-"
	}
	return v.Min.String() + "-" + v.Max.String()
}

// MinMaxSize is the smallest limit of size, and MinIdleTimeout the shortest idle timeout, that a listener may have.
const (
	MinMaxSize     = 1
	MinIdleTimeout = time.Millisecond
)

// Validate returns the field, as plan files write it, that is out of range, and what is wrong with it.
func (s *Service) Validate() (field string, err error) {
	if s.IdleTimeout != 0 && s.IdleTimeout < MinIdleTimeout {
		return "idle_timeout", fmt.Errorf("%v is out of range (want %v or more)", s.IdleTimeout, MinIdleTimeout)
	}
	for _, name := range s.Mechanisms {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool {
			return !('A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			return "auth", fmt.Errorf("invalid mechanism %q (want a name such as PLAIN)", name)
		}
	}
	for _, l := range [...]struct {
		name string
		max  int
	}{{"mailmax", s.Limits.MailMax}, {"rcptmax", s.Limits.RcptMax}, {"rcptdomainmax", s.Limits.RcptDomainMax}} {
		if l.max < 0 || l.max > MaxServiceLimit {
			return "limits." + l.name, fmt.Errorf("%d is out of range (want 1 to %d)", l.max, MaxServiceLimit)
		}
	}
	if int(s.RequireTLS) >= len(requireTLSNames) {
		return "requiretls", fmt.Errorf("unknown choice %v", s.RequireTLS)
	}
	if s.TLS != (TLSVersions{}) && (s.TLS.Min < TLS10 || s.TLS.Max > TLS13 || s.TLS.Max < s.TLS.Min) {
		return "tls_versions", fmt.Errorf("unknown versions %v", s.TLS)
	}
	for _, n := range s.XClient {
		if !n.IsValid() {
			return "xclient", fmt.Errorf("invalid network (want for example 127.0.0.0/8)")
		}
	}
	return "", nil
}
