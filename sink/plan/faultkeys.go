package plan

import (
	"fmt"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

var closeKind = enum("fin, rst or half", fault.ParseCloseKind, fault.CloseNone).named("closeKind")

// faultKey is the key of a fault, and what check says of one.
type faultKey[T any] struct {
	key[T]
	words func(*fault.Faults) string // empty where the reply's words say it
}

// outcomeFaults are the keys by which check finds its words.
var outcomeFaults = faultKeys(func(f *fault.Faults) *fault.Faults { return f })

// faultKeys are the keys of an outcome beside weight, reply and delay, where of finds its faults.
func faultKeys[T any](of func(*T) *fault.Faults) []faultKey[T] {
	capitals := textsForm.checked(func(_ *yaml.Node, names *[]string) error {
		for i, name := range *names {
			(*names)[i] = strings.ToUpper(name)
		}
		return nil
	})
	return []faultKey[T]{
		{at("silence", boolean, func(v *T) *bool { return &of(v).Silence }, "No reply is ever sent."),
			func(*fault.Faults) string { return "" }},
		{at("dribble", mapping(
			needs("octets", integer(1, fault.MaxDribbleOctets), func(d *fault.Dribble) *int { return &d.Octets }, "How many at a time."),
			needs("every", duration, func(d *fault.Dribble) *time.Duration { return &d.Every }, "The pause between them, 1 ms or more."),
		).named("dribble"), func(v *T) *fault.Dribble { return &of(v).Dribble }, "The reply is sent a few octets at a time."),
			func(f *fault.Faults) string {
				return fmt.Sprintf("dribbled, %d octets every %v", f.Dribble.Octets, f.Dribble.Every)
			}},
		{at("split", mapping(
			needs("packets", integer(2, fault.MaxSplitPackets), func(s *fault.Split) *int { return &s.Packets }, "In how many packets the reply goes out."),
			at("pause", duration, func(s *fault.Split) *time.Duration { return &s.Pause }, "Between two of them."),
		).named("split"), func(v *T) *fault.Split { return &of(v).Split }, "The reply is sent in several packets."),
			func(f *fault.Faults) string {
				return fmt.Sprintf("split over %d packets with a pause of %v", f.Split.Packets, f.Split.Pause)
			}},
		{at("cut", mapping(
			needs("octets", integer(1, fault.MaxCutOctets), func(c *fault.Cut) *int { return &c.Octets }, "How many are sent."),
			at("close", closeKind, func(c *fault.Cut) *fault.CloseKind { return &c.Close }, "Default: the connection is held without another word."),
		).named("cut"), func(v *T) *fault.Cut { return &of(v).Cut }, "The first octets of the reply are sent, and never the rest."),
			func(f *fault.Faults) string {
				then := "held without another word"
				if f.Cut.Close != fault.CloseNone {
					then = closeWords(f.Cut.Close)
				}
				return fmt.Sprintf("cut after %d octets, then %s", f.Cut.Octets, then)
			}},
		{at("malformed", enum("a malformation", fault.ParseMalformation, 0).named("malformed"), func(v *T) *fault.Malformation { return &of(v).Malformed }, "How the reply's syntax is broken."),
			func(f *fault.Faults) string { return "malformed: " + f.Malformed.String() }},
		{at("raw", rawForm(), func(v *T) *[]byte { return &of(v).Raw }, "Octets that are sent in the place of the reply: a text, line ends included, or {base64: ...}. The code beside it, or theirs, says what the sink takes them for."),
			func(f *fault.Faults) string { return fmt.Sprintf("sent as %q", f.Raw) }},
		{at("bandwidth", bandwidthForm(), func(v *T) *fault.Bandwidth { return &of(v).Bandwidth }, "The connection is a slow link from this reply on, to its end or to the next reply with a bandwidth: 40kbit/s both ways, or in (what the client sends is read no faster) and out (replies) apart. none: no limit any more."),
			func(f *fault.Faults) string { return bandwidthWords(f.Bandwidth) }},
		{at("close", closeForm().named("closing"), func(v *T) *fault.Close { return &of(v).Close }, "How the connection is closed; a word alone means before the reply, which is never sent."),
			func(f *fault.Faults) string {
				return closeWords(f.Close.Mode) + " " + f.Close.When.String() + " the reply"
			}},
		{at("delivery", enum("follow, keep or discard", fault.ParseDelivery, 0).named("delivery"), func(v *T) *fault.Delivery { return &of(v).Delivery }, "At message: whether it counts as delivered: as the reply says, or whatever the client is told."),
			func(f *fault.Faults) string {
				return map[fault.Delivery]string{fault.DeliveryKeep: "the message is kept", fault.DeliveryDiscard: "the message is discarded"}[f.Delivery]
			}},
		{at("body", mapping(
			at("after", octets, func(b *fault.BodyFault) *int64 { return &b.After }, "Octets of the body."),
			at("reply", pointer(bodyReplyForm()), func(b *fault.BodyFault) **fault.BodyReply { return &b.Reply }, "What the sink says in mid-body; without close, it reads on."),
			at("close", closeKind, func(b *fault.BodyFault) *fault.CloseKind { return &b.Close }, "How the connection is closed there."),
			at("stop_reading", boolean, func(b *fault.BodyFault) *bool { return &b.StopReading }, "The client meets a zero window."),
			at("for", duration, func(b *fault.BodyFault) *time.Duration { return &b.For }, "How long reading stops; default: until the client goes away or the longest hold is over."),
		).named("body"), func(v *T) *fault.BodyFault { return &of(v).Body }, "At data and bdat: what happens in mid-body."),
			func(f *fault.Faults) string { return bodyWords(&f.Body) }},
		{at("missing", capitals, func(v *T) *[]string { return &of(v).Missing }, "At ehlo: capabilities that the reply leaves out of the sink's own."),
			func(f *fault.Faults) string { return "without " + strings.Join(f.Missing, " ") }},
		{at("capabilities", pointer(capabilitiesForm()), func(v *T) **fault.Capabilities { return &of(v).Capabilities }, "At ehlo: what the reply announces: all, or these lines; beside a text of one's own, without it nothing."),
			func(f *fault.Faults) string { return capabilityWords(f.Capabilities) }},
		{at("tls", enum("a TLS fault", fault.ParseTLSFault, 0).named("tlsFault"), func(v *T) *fault.TLSFault { return &of(v).TLS }, "At starttls, and at connect of listeners with implicit TLS: what goes wrong with the handshake."),
			func(f *fault.Faults) string { return "TLS " + f.TLS.String() }},
	}
}

// keysOf leaves the words out.
func keysOf[T any](faults []faultKey[T]) []key[T] {
	keys := make([]key[T], len(faults))
	for i, k := range faults {
		keys[i] = k.key
	}
	return keys
}

// bandwidthForm is a rate for both ways, or a mapping.
func bandwidthForm() form[fault.Bandwidth] {
	rate := scalar("a rate such as 40kbit/s, or none", fault.ParseByteRate, fault.ByteRate.String, patternSchema(`^(none|[0-9]+(\.[0-9]+)? ?(B|kB|KiB|kbit|Mbit)/s)$`)).named("byteRate")
	both := as(rate, func(b *fault.Bandwidth) fault.ByteRate { return b.In }, func(b *fault.Bandwidth, r fault.ByteRate) { b.In, b.Out = r, r })
	return short(both, func(b *fault.Bandwidth) bool { return b.In == b.Out }, yaml.MappingNode, mapping(
		at("in", rate, func(b *fault.Bandwidth) *fault.ByteRate { return &b.In }, "Octets of the client's, above TLS; default: as before."),
		at("out", rate, func(b *fault.Bandwidth) *fault.ByteRate { return &b.Out }, "Octets of the sink's."),
	).checked(func(n *yaml.Node, b *fault.Bandwidth) error {
		if *b == (fault.Bandwidth{}) {
			return errorf(n, "no bandwidth (want in, out or both)")
		}
		return nil
	})).named("bandwidth")
}

// bodyReplyForm is a reply in mid-body: any but the plain one.
func bodyReplyForm() form[fault.BodyReply] {
	f := as(planReply, func(r *fault.BodyReply) reply {
		return reply{Code: r.Code, wording: wording{enhanced{Enhanced: r.Enhanced}, r.Text}}
	}, func(b *fault.BodyReply, r reply) {
		*b = fault.BodyReply{Code: r.Code, Enhanced: r.Enhanced.Enhanced, Text: r.Text}
	})
	return f.checked(func(n *yaml.Node, r *fault.BodyReply) error {
		if r.Code == 0 {
			return errorf(n, "there is no plain reply in mid-body (want a code such as 421)")
		}
		return nil
	})
}

// closeForm is fin, rst or half, which are before the reply, or a mapping.
func closeForm() form[fault.Close] {
	word := as(closeKind, func(c *fault.Close) fault.CloseKind { return c.Mode }, func(c *fault.Close, mode fault.CloseKind) { c.Mode = mode })
	return short(word, func(c *fault.Close) bool { return c.When == fault.CloseBefore }, yaml.MappingNode, mapping(
		needs("mode", closeKind, func(c *fault.Close) *fault.CloseKind { return &c.Mode }, "fin: an ordinary end; rst: a reset; half: the sink's side only."),
		at("when", enum("before or after", fault.ParseCloseWhen, 0), func(c *fault.Close) *fault.CloseWhen { return &c.When }, "Instead of the reply, or once it was sent; default: before."),
	))
}

// capabilitiesForm is all, or a list that may be empty.
func capabilitiesForm() form[fault.Capabilities] {
	const want = "all, or a list such as [PIPELINING, SIZE 1000]"
	all := as(only("all", want, want), func(c *fault.Capabilities) bool { return c.All }, func(c *fault.Capabilities, all bool) { c.All = all })
	lines := as(list(textForm), func(c *fault.Capabilities) []string { return c.Lines }, func(c *fault.Capabilities, lines []string) { c.Lines = lines })
	return short(all, func(c *fault.Capabilities) bool { return c.All }, yaml.SequenceNode, lines).named("capabilities")
}

func closeWords(c fault.CloseKind) string {
	return map[fault.CloseKind]string{fault.CloseFIN: "closed by FIN", fault.CloseRST: "closed by RST", fault.CloseHalf: "half-closed"}[c]
}

// bandwidthWords says how fast a connection is from a reply on.
func bandwidthWords(b fault.Bandwidth) string {
	way := func(r fault.ByteRate, verb string) string {
		if r == fault.Unlimited {
			return verb + " at full speed"
		}
		return fmt.Sprintf("%s at %v", verb, r)
	}
	switch {
	case b.In == b.Out:
		return way(b.In, "from then on the link runs") + " each way"
	case b.Out == 0:
		return way(b.In, "from then on what the client sends is read")
	case b.In == 0:
		return way(b.Out, "from then on replies are sent")
	}
	return way(b.In, "from then on what the client sends is read") + way(b.Out, ", and replies are sent")
}

func bodyWords(b *fault.BodyFault) string {
	what := closeWords(b.Close)
	if b.StopReading {
		what = "reading stops"
		if b.For > 0 {
			what += fmt.Sprintf(" for %v", b.For)
		}
	}
	if b.Reply != nil {
		said := fmt.Sprintf("the sink says %d", b.Reply.Code)
		if what == "" {
			return fmt.Sprintf("after %d octets of the body %s, and reads on", b.After, said)
		}
		what = said + " and is " + what
	}
	return fmt.Sprintf("after %d octets of the body %s", b.After, what)
}

func capabilityWords(c *fault.Capabilities) string {
	switch {
	case c.All:
		return "announcing all capabilities"
	case len(c.Lines) == 0:
		return "announcing nothing"
	}
	return "announcing " + strings.Join(c.Lines, ", ")
}
