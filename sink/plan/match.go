package plan

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

func matchForm() form[fault.Match] { return mapping(matchKeys()...).named("match") }

func matchKeys() []key[fault.Match] {
	ordinals := scalar("3, 1-3 or 4-", fault.ParseRange, fault.Range.String,
		`{"anyOf":[{"type":"integer","minimum":1},`+patternSchema(`^[1-9][0-9]*(-([1-9][0-9]*)?)?$`)+`]}`).named("ordinal")
	headers := dictionary("names of header fields to patterns", 1, textForm, textsForm,
		func(l *[]fault.HeaderPattern) iter.Seq2[string, []string] {
			return func(yield func(string, []string) bool) {
				for _, p := range *l {
					if !yield(p.Name, p.Globs) {
						return
					}
				}
			}
		},
		func(l *[]fault.HeaderPattern, name string, globs []string) {
			*l = append(*l, fault.HeaderPattern{Name: name, Globs: globs})
		})
	repeats := dictionary("names of header fields to numbers", 1, textForm, scalar("0, 3, 1-3 or 30-", func(text string) (times, error) {
		from, to, err := fault.ParseRepeats(text)
		return times{from, to}, err
	}, func(n times) string { return fault.HeaderRepeats{From: n.from, To: n.to}.Times() },
		`{"anyOf":[{"type":"integer","minimum":0},`+patternSchema(`^[0-9]+(-[0-9]*)?$`)+`]}`).named("times"),
		func(l *[]fault.HeaderRepeats) iter.Seq2[string, times] {
			return func(yield func(string, times) bool) {
				for _, r := range *l {
					if !yield(r.Name, times{r.From, r.To}) {
						return
					}
				}
			}
		},
		func(l *[]fault.HeaderRepeats, name string, n times) {
			*l = append(*l, fault.HeaderRepeats{Name: name, From: n.from, To: n.to})
		})
	size := scalar("octets such as 10MiB-, 1KiB-64KiB or 1000", parseSizes, sizesText,
		`{"anyOf":[{"type":"integer","minimum":1},`+patternSchema(`^[0-9]+ ?(KiB|MiB|GiB)?(-([0-9]+ ?(KiB|MiB|GiB)?)?)?$`)+`]}`).named("sizes")
	dayTimes := oneOrMore(scalar("a time of day such as 08:00-18:00", fault.ParseDayTime, fault.DayTime.String,
		patternSchema(`^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}( .+)?$`)).named("dayTime"))
	return []key[fault.Match]{
		at("listener", textsForm, func(m *fault.Match) *[]string { return &m.Listeners }, "Names of listeners."),
		at("client", oneOrMore(network), func(m *fault.Match) *[]netip.Prefix { return &m.Clients }, "Addresses or networks."),
		at("helo", textsForm, func(m *fault.Match) *[]string { return &m.Helos }, "host.example or *.example."),
		at("sender", textsForm, func(m *fault.Match) *[]string { return &m.Senders }, "<>, user@domain, *@domain, *.domain or bounce+*@; without a domain root, <first.last> or *@."),
		at("recipient", textsForm, func(m *fault.Match) *[]string { return &m.Recipients }, "user@domain, *@domain, *.domain or bounce+*@; without a domain root, <first.last> or *@; at message any accepted one, in LMTP that one."),
		at("attempt", ordinals, func(m *fault.Match) *fault.Range { return &m.Attempts }, "n-th RCPT of the (sender, recipient) pair."),
		at("message", ordinals, func(m *fault.Match) *fault.Range { return &m.Messages }, "n-th message of the connection."),
		at("connection", ordinals, func(m *fault.Match) *fault.Range { return &m.Connections }, "n-th connection of the client."),
		tlsKey(),
		at("mechanism", textsForm, func(m *fault.Match) *[]string { return &m.Mechanisms }, "At auth: the mechanism that the client named, one that the sink has or any other."),
		at("step", ordinals, func(m *fault.Match) *fault.Range { return &m.Steps }, "At auth: n-th reply of the exchange; 1 answers the command, 2 the first response."),
		at("turn", ordinals, func(m *fault.Match) *fault.Range { return &m.Turns }, "n-th reply of the connection; 1 is the greeting."),
		at("rcpt", ordinals, func(m *fault.Match) *fault.Range { return &m.Rcpts }, "At rcpt: n-th RCPT of the transaction, whoever it is for."),
		at("parameter", textsForm, func(m *fault.Match) *[]string { return &m.Parameters }, "Parameters of MAIL such as PRDR, BODY=8BITMIME or AUTH=*, with * and ?; they are then known to the sink."),
		at("header", headers, func(m *fault.Match) *[]fault.HeaderPattern { return &m.Headers }, "At message: patterns of header fields, with * and ?."),
		at("repeats", repeats, func(m *fault.Match) *[]fault.HeaderRepeats { return &m.Repeats }, "At message: how often header fields occur."),
		at("size", size, func(m *fault.Match) *fault.SizeRange { return &m.Size }, "Octets of the message: as MAIL has declared them, at message as counted."),
		at("time", dayTimes, func(m *fault.Match) *[]fault.DayTime { return &m.Times }, "Time of day, UTC or of a zone: 08:00-18:00 Europe/Berlin."),
		at("sequence", only("bad", "bad", "bad, for commands out of order, or no such key"), func(m *fault.Match) *bool { return &m.OutOfOrder }, "bad: commands that are refused as out of order, and no others."),
		at("error", oneOrMore(scalar("any, or a reply such as 501, 555/5.5.4 or 5xx", fault.ParseErrorPattern, fault.ErrorPattern.String,
			`{"anyOf":[{"type":"integer","minimum":400,"maximum":599},`+patternSchema(`^(any|[45]xx|[45][0-9]{2}(/.+)?)$`)+`]}`).named("error")),
			func(m *fault.Match) *[]fault.ErrorPattern { return &m.Errors }, "any, or replies: commands that the sink would refuse so by itself, for their syntax or whatever else is wrong, and no others."),
		at("standing", textsForm, func(m *fault.Match) *[]string { return &m.Standings }, "Names of reactions: a standing of any of them holds."),
		at("level", ordinals, func(m *fault.Match) *fault.Range { return &m.Levels }, "Within then of a reaction: level of the standing."),
	}
}

// times is how often a field occurs.
type times struct{ from, to int }

// tlsKey is whether there is TLS, or by which versions.
func tlsKey() key[fault.Match] {
	return key[fault.Match]{
		name: "tls", about: "Whether the connection is encrypted; or by which versions: 1.3, 1.0-1.1 or 1.2-.",
		schema: func(defs definitions) string {
			return `{"anyOf":[` + boolean.schema(defs) + `,{"type":"number","enum":[1.0,1.1,1.2,1.3]},` + patternSchema(`^1\.[0-3](-(1\.[0-3])?)?$`) + `]}`
		},
		read: scalar("true, false, or versions such as 1.2", func(text string) (v fault.Match, err error) {
			switch text {
			case "true":
				v.TLS = fault.TLSYes
			case "false":
				v.TLS = fault.TLSNo
			default:
				if v.TLSVersions, err = fault.ParseTLSVersions(text); err != nil {
					err = fmt.Errorf("invalid value %q (want true, false, 1.0 1.1 1.2 1.3, or a range such as 1.0-1.2 or 1.2-)", text)
				}
			}
			return v, err
		}, nil, "").into(func(m *fault.Match, v fault.Match) { m.TLS, m.TLSVersions = v.TLS, v.TLSVersions }),
		write: func(m *fault.Match) *yaml.Node {
			switch {
			case m.TLSVersions != fault.TLSVersions{}:
				return written(m.TLSVersions.String())
			case m.TLS == fault.TLSEither:
				return nil
			}
			encrypted := m.TLS == fault.TLSYes
			return boolean.write(&encrypted)
		},
	}
}

// into reads a T and puts it into something else of that kind.
func (f form[T]) into(put func(into *T, v T)) func(d *decoder, n *yaml.Node, into *T) error {
	return func(d *decoder, n *yaml.Node, into *T) error {
		var v T
		err := f.read(d, n, &v)
		if err == nil {
			put(into, v)
		}
		return err
	}
}

// parseSizes parses "1000", "1KiB-64KiB", "0-64KiB" or "10MiB-".
func parseSizes(text string) (r fault.SizeRange, err error) {
	low, high, span := strings.Cut(text, "-")
	r.From, err = ParseOctets(low)
	r.To = r.From
	if span {
		r.To = 0
		if err == nil && high != "" {
			r.To, err = ParseOctets(high)
		}
	}
	if err != nil || r == (fault.SizeRange{}) || r.To != 0 && r.To < r.From {
		return fault.SizeRange{}, fmt.Errorf("invalid size %q (want octets such as 10MiB-, 1KiB-64KiB, 0-1KiB or 1000)", text)
	}
	return r, nil
}

func sizesText(r fault.SizeRange) string {
	switch {
	case r.To == 0:
		return OctetsText(r.From) + "-"
	case r.From == r.To:
		return OctetsText(r.To)
	}
	return OctetsText(r.From) + "-" + OctetsText(r.To)
}
