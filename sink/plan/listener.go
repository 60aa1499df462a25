package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

func listenerForm() form[fault.Listener] {
	name := textForm.described(someText)
	return mapping(append([]key[fault.Listener]{
		needs("name", name, func(l *fault.Listener) *string { return &l.Name }, "What rules match."),
		needs("address", name, func(l *fault.Listener) *string { return &l.Address }, "host:port, [IPv6]:port or unix:/path; port 0 is any free one."),
		at("protocol", eitherOf("protocol", "smtp", "lmtp"), func(l *fault.Listener) *bool { return &l.LMTP }, "What clients speak there; default: smtp."),
		at("tls", eitherOf("TLS", "none", "implicit"), func(l *fault.Listener) *bool { return &l.ImplicitTLS }, "implicit: TLS from the first octet on."),
		at("proxied", boolean, func(l *fault.Listener) *bool { return &l.Proxied }, "Clients come through a proxy, which takes replies that they may never get: the ledger then says told only where the octets of a later body show it."),
		at("dsn", boolean, func(l *fault.Listener) *bool { return &l.DSN }, "All that comes is taken for delivery status notifications, whatever its sender: see smtpsink --dsn-dir."),
	}, serviceKeys(func(l *fault.Listener) *fault.Service { return &l.Service })...)...).named("listener")
}

// ParseService parses how a listener serves, written as in a plan's listener, without its other keys.
func ParseService(data []byte) (s fault.Service, err error) {
	f := mapping(serviceKeys(func(s *fault.Service) *fault.Service { return s })...)
	if _, err := parseForm("settings", data, f, &s); err != nil {
		return fault.Service{}, err
	}
	if field, err := s.Validate(); err != nil {
		return fault.Service{}, fmt.Errorf("%s: %w", field, err)
	}
	return s, nil
}

// serviceKeys are the keys of how a listener serves.
func serviceKeys[T any](of func(*T) *fault.Service) []key[T] {
	size := scalar("a number of octets, or none", func(text string) (int64, error) {
		if text == "none" {
			return -1, nil
		}
		n, err := ParseOctets(text)
		if err == nil && n < fault.MinMaxSize {
			err = fmt.Errorf("%d is out of range (want %d or more octets, or none)", n, fault.MinMaxSize)
		}
		return n, err
	}, func(n int64) string {
		if n < 0 {
			return "none"
		}
		return OctetsText(n)
	}, `{"anyOf":[{"type":"integer","minimum":1},`+patternSchema(`^(none|[0-9]+ ?([KMGT]iB)?)$`)+`]}`).named("maxSize")
	versions := scalar("TLS versions such as 1.2 or 1.0-1.2", fault.ParseTLSVersions, fault.TLSVersions.String,
		`{"anyOf":[{"type":"number","enum":[1.0,1.1,1.2,1.3]},`+patternSchema(`^1\.[0-3](-(1\.[0-3])?)?$`)+`]}`).named("tlsVersions")
	most := given(1, fault.MaxServiceLimit)
	limits := mapping(
		at("mailmax", most, func(l *fault.ServiceLimits) *int { return &l.MailMax }, "MAIL commands in a session."),
		at("rcptmax", most, func(l *fault.ServiceLimits) *int { return &l.RcptMax }, "RCPT commands in a transaction."),
		at("rcptdomainmax", most, func(l *fault.ServiceLimits) *int { return &l.RcptDomainMax }, "Different domains of recipients in a session."),
	).named("serviceLimits").checked(func(n *yaml.Node, l *fault.ServiceLimits) error {
		if *l == (fault.ServiceLimits{}) {
			return errorf(n, "no limits (want at least one of mailmax rcptmax rcptdomainmax)")
		}
		return nil
	})
	mechanisms := oneOrMore(textForm).checked(func(_ *yaml.Node, names *[]string) error {
		for i, name := range *names {
			(*names)[i] = strings.ToUpper(name)
		}
		return nil
	})
	return []key[T]{
		at("max_size", size, func(v *T) *int64 { return &of(v).MaxSize }, "Largest message, as SIZE announces it; default: the server's."),
		at("idle_timeout", duration, func(v *T) *time.Duration { return &of(v).IdleTimeout }, "How long a client may be silent; default: the server's."),
		at("auth", mechanisms, func(v *T) *[]string { return &of(v).Mechanisms }, "Mechanisms of AUTH: SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN XOAUTH2; default: those without -PLUS and SHA-1."),
		at("tls_versions", versions, func(v *T) *fault.TLSVersions { return &of(v).TLS }, "Versions of TLS: 1.2, 1.0-1.2 or 1.2-; default: all."),
		at("limits", limits, func(v *T) *fault.ServiceLimits { return &of(v).Limits }, "Announced by LIMITS (RFC 9422) and honoured."),
		at("requiretls", enum("a choice", fault.ParseRequireTLS, 0), func(v *T) *fault.RequireTLS { return &of(v).RequireTLS }, "REQUIRETLS (RFC 8689), announced within TLS: accept, or refuse MAIL with the parameter by 550 5.7.30; default: off."),
		at("prdr", boolean, func(v *T) *bool { return &of(v).PRDR }, "PRDR (draft-hall-prdr), announced: a client that asks for it with MAIL gets a reply for each recipient after the body."),
		at("proxy_protocol", boolean, func(v *T) *bool { return &of(v).ProxyProtocol }, "Each connection begins with a PROXY header, version 1 or 2, that says whose it is."),
		at("xclient", xclientForm(), func(v *T) *[]netip.Prefix { return &of(v).XClient }, "Who may use XCLIENT to be another client: loopback, or networks; default: nobody."),
	}
}

// loopback are the networks that the word stands for.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// xclientForm is loopback, a network, or a list of networks.
func xclientForm() form[[]netip.Prefix] {
	networks := oneOrMore(network)
	word := only("loopback", "loopback, or networks", "loopback, or networks")
	return form[[]netip.Prefix]{
		read: func(d *decoder, n *yaml.Node, into *[]netip.Prefix) error {
			if deref(n).Kind == yaml.ScalarNode && deref(n).Value == "loopback" {
				*into = slices.Clone(loopback)
				return nil
			}
			err := networks.read(d, n, into)
			if err != nil && deref(n).Kind == yaml.ScalarNode {
				err = errorf(n, "invalid network %q (want loopback, or networks such as 192.0.2.0/24)", deref(n).Value)
			}
			return err
		},
		write: func(v *[]netip.Prefix) *yaml.Node {
			if slices.Equal(*v, loopback) {
				return written("loopback")
			}
			return networks.write(v)
		},
		schema: func(defs definitions) string {
			return `{"anyOf":[` + word.schema(defs) + "," + networks.schema(defs) + "]}"
		},
	}
}

// serviceWords says how a listener serves beyond its protocol; empty when it is as the server does.
func serviceWords(s *fault.Service) string {
	var words []string
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(s.MaxSize > 0, "messages of at most %d octets", s.MaxSize)
	add(s.MaxSize < 0, "messages of any size")
	add(s.IdleTimeout > 0, "idle for at most %v", s.IdleTimeout)
	add(len(s.Mechanisms) > 0, "AUTH by %s only", strings.Join(s.Mechanisms, " or "))
	add(s.TLS != fault.TLSVersions{}, "TLS %v only", s.TLS)
	add(s.Limits.MailMax > 0, "at most %d MAIL in a session", s.Limits.MailMax)
	add(s.Limits.RcptMax > 0, "at most %d RCPT in a transaction", s.Limits.RcptMax)
	add(s.Limits.RcptDomainMax > 0, "recipients of at most %d domains in a session", s.Limits.RcptDomainMax)
	add(s.RequireTLS == fault.RequireTLSAccept, "REQUIRETLS")
	add(s.RequireTLS == fault.RequireTLSRefuse, "REQUIRETLS announced and refused")
	add(s.PRDR, "PRDR")
	add(s.ProxyProtocol, "each connection begins with a PROXY header")
	add(len(s.XClient) > 0, "XCLIENT from %s", strings.Join(texts(s.XClient, netip.Prefix.String), " or "))
	return strings.Join(words, "; ")
}
