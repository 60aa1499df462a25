package fault

import "strings"

// Names says what the faults do, for ledgers and messages to people: words joined by "+", such as "rst-before+keep"; empty when they
// do nothing. The words are silence, dribble, split, cut-stall and cut-KIND, malformed-KIND, raw (malformed-raw where a client can't read it), KIND-before and KIND-after (close), keep and discard (delivery),
// body-reply, body-KIND and body-stop, missing, capabilities, and tls-KIND.
func (f *Faults) Names() string {
	var words []string
	add := func(is bool, word string) {
		if is {
			words = append(words, word)
		}
	}
	add(f.Silence, "silence")
	add(f.Dribble != Dribble{}, "dribble")
	add(f.Split != Split{}, "split")
	add(f.Cut != Cut{}, map[bool]string{true: "cut-stall", false: "cut-" + f.Cut.Close.String()}[f.Cut.Close == CloseNone])
	add(f.Malformed != MalformedNone, "malformed-"+f.Malformed.String())
	add(f.Raw != nil && !f.unreadable, "raw")
	add(f.unreadable, "malformed-raw")
	add(f.Close.Mode != CloseNone, f.Close.Mode.String()+"-"+f.Close.When.String())
	add(f.Body.Reply != nil, "body-reply")
	add(f.Body.Close != CloseNone, "body-"+f.Body.Close.String())
	add(f.Body.StopReading, "body-stop")
	add(len(f.Missing) > 0, "missing")
	add(f.Capabilities != nil && !f.Capabilities.All, "capabilities")
	add(f.TLS != TLSNone, "tls-"+f.TLS.String())
	add(f.Delivery != DeliveryFollow, f.Delivery.String())
	return strings.Join(words, "+")
}
