package control

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// filter says which events are wanted. Its conditions must all hold: a row that has no recipient is none of a recipient's.
type filter struct {
	kinds map[event.Kind]bool // nil: all
	who   *fault.Next         // client, sender and recipient, as a plan's match has them; nil: everybody
	match fault.Match
	codes []codes // any of them; nil: all
	rule  string  // a cause, or the name of a rule; empty: all

	decoder ledger.Decoder
	row     event.Row
}

// codes is a reply code, or all of a class.
type codes struct{ from, to smtp.Code }

// readFilter reads a filter from the parameters of a request.
func readFilter(r *http.Request) (*filter, error) {
	q := r.URL.Query()
	f := &filter{rule: q.Get("rule")}
	if q.Has("kind") {
		f.kinds = map[event.Kind]bool{}
		for name := range strings.SplitSeq(q.Get("kind"), ",") {
			kind, err := event.ParseKind([]byte(name))
			if err != nil {
				return nil, badQuery("kind: %v", err)
			}
			f.kinds[kind] = true
		}
	}
	for text := range strings.SplitSeq(q.Get("code"), ",") {
		if text == "" && !q.Has("code") {
			break
		}
		c, err := parseCodes(text)
		if err != nil {
			return nil, badQuery("code: %v", err)
		}
		f.codes = append(f.codes, c)
	}
	if q.Has("client") {
		text := q.Get("client")
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, failed := netip.ParseAddr(text)
			if failed != nil {
				return nil, badQuery("client: invalid address or network %.64q (want for example 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32)", text)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		f.match.Clients = []netip.Prefix{network.Masked()}
	}
	if q.Has("sender") {
		f.match.Senders = []string{q.Get("sender")}
	}
	if q.Has("recipient") {
		f.match.Recipients = []string{q.Get("recipient")}
	}
	if f.match.IsZero() {
		return f, nil
	}
	who, err := fault.NewNext(fault.NextSpec{ID: "filter", Stage: smtp.StageRcpt, Match: f.match, Times: 1})
	if err != nil {
		var spec *fault.SpecError
		if !errors.As(err, &spec) {
			return nil, err
		}
		name := strings.TrimPrefix(spec.Field, "match.")
		return nil, badQuery("%s: %v", name, spec.Err)
	}
	f.who = who
	return f, nil
}

func parseCodes(text string) (codes, error) {
	if len(text) == 3 && strings.HasSuffix(text, "xx") && text[0] >= '2' && text[0] <= '5' {
		class := smtp.Code(text[0]-'0') * 100
		return codes{class, class + 99}, nil
	}
	code, err := smtp.ParseCode(text)
	return codes{code, code}, err
}

// all reports whether every event is wanted.
func (f *filter) all() bool { return f.kinds == nil && f.who == nil && f.codes == nil && f.rule == "" }

// takes reports whether an event is wanted.
func (f *filter) takes(row *sink.TailRow) bool {
	if f.kinds != nil && !f.kinds[row.Kind] {
		return false
	}
	if f.who == nil && f.codes == nil && f.rule == "" {
		return true
	}
	if f.decoder.Decode(row.Line, &f.row) != nil {
		return false
	}
	r := &f.row
	var o fault.Occurrence
	var code smtp.Code
	var cause string
	sender, recipient := false, false
	switch row.Kind {
	case event.KindAttempt:
		a := &r.Attempt
		o.Client, o.Sender, o.Recipient, code, cause = a.Client.Addr(), a.Sender, a.Recipient, a.Code, a.Cause
		sender, recipient = true, true
	case event.KindTransaction:
		t := &r.Transaction
		o.Client, o.Sender, code, cause = t.Client.Addr(), t.Sender, t.Code, t.Cause
		sender = true
	case event.KindConnection:
		o.Client, code = r.Connection.Client.Addr(), r.Connection.Code
	default:
		return false
	}
	if f.who != nil {
		if len(f.match.Senders) > 0 && !sender || len(f.match.Recipients) > 0 && !recipient {
			return false
		}
		if o.Stage = smtp.StageRcpt; !f.who.Matches(&o) {
			return false
		}
	}
	if f.rule != "" && cause != f.rule && cause != "rule:"+f.rule {
		return false
	}
	for _, c := range f.codes {
		if c.from <= code && code <= c.to {
			return true
		}
	}
	return f.codes == nil
}

// errGone says that events are gone that were asked for.
func errGone(missed uint64) error {
	return problem(api.EventsGone, "%d events after that one are gone (leave after out to begin with the oldest that is there)", missed)
}

// takesMessage reports whether a message has the sender and any of the recipients that are wanted.
func (f *filter) takesMessage(m *api.Message) bool {
	if f.who == nil {
		return true
	}
	o := fault.Occurrence{Stage: smtp.StageRcpt, Sender: []byte(m.Sender)}
	if len(f.match.Recipients) == 0 {
		return f.who.Matches(&o)
	}
	for i := range m.Attempts {
		if o.Recipient = []byte(m.Attempts[i].Recipient); f.who.Matches(&o) {
			return true
		}
	}
	return false
}
