package xk6smtp

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// message is built once and sent any number of times: only the header lines of appendHeader differ from one sending to the
// next, unless it has fields. It is immutable, and shared by everything that sends it.
type message struct {
	envelope              // with the fields' defaults
	body     *client.Body // likewise
	utf8     bool         // the header has addresses that are not ASCII
	unsound  error        // why the defaults make no message; every sending must have values of its own then

	fields   []pair        // names and defaults
	template *template     // nil without fields
	sender   *gapAddress   // for the envelope
	rcpts    []*gapAddress // likewise

	date, messageID, hasStormID bool   // header fields that the body has itself
	stormID                     string // value of that X-Storm-Id, with the fields' defaults

	factsOnce sync.Once // for factsOf
	facts     bodyFacts
}

// envelope is who sends a message to whom.
type envelope struct {
	from     string
	to       []string
	idDomain string // right of the @ in Message-ID
}

// address fills in the envelope.
func (m *message) address(values []string) (e envelope, err error) {
	sender, err := m.sender.fill(values)
	if err != nil {
		return e, fmt.Errorf("makes no address of the sender: %w", err)
	}
	e.from, e.idDomain = sender.mailbox, idDomain(sender.mailbox)
	e.to = make([]string, 0, len(m.rcpts))
	for _, a := range m.rcpts {
		rcpt, err := a.fill(values)
		if err == nil && rcpt.mailbox == "" {
			err = errEmpty
		}
		if err != nil {
			return e, fmt.Errorf("makes no address of a recipient: %w", err)
		}
		e.to = append(e.to, rcpt.mailbox)
	}
	return e, nil
}

// values are the fields' defaults with a sending's own over them, in the fields' order.
func (m *message) values(own []pair) []string {
	values := make([]string, len(m.fields))
	for i, f := range m.fields {
		values[i] = f.value
		for _, o := range own {
			if o.name == f.name {
				values[i] = o.value
			}
		}
	}
	return values
}

// prepare returns what one sending needs of a message: its envelope, and the values of its fields, nil if they are the defaults. It refuses
// values of fields that the message doesn't have, or that can't stand where the field does.
func (m *message) prepare(own []pair) (e envelope, values []string, err error) {
	if len(own) == 0 {
		if m.unsound != nil {
			return e, nil, &optionError{"send", "fields", "must be given for this message: its default " + m.unsound.Error()}
		}
		return m.envelope, nil, nil
	}
	var names []string
	for _, f := range m.fields {
		names = append(names, f.name)
	}
	for _, o := range own {
		if !slices.Contains(names, o.name) {
			return e, nil, &optionError{"send", "fields." + o.name, "is no field of the message (valid: " + strings.Join(names, " ") + ")"}
		}
	}
	values = m.values(own)
	if err = m.template.check(values); err == nil {
		e, err = m.address(values)
	}
	if err != nil {
		return e, nil, &optionError{"send", "fields", err.Error()}
	}
	return e, values, nil
}

// token returns what a sending of body is known by: the message's own X-Storm-Id if it has one, and fresh otherwise, which appendHeader must write
// then: an own one that is empty is none.
func (m *message) token(body *client.Body, fresh string) (token string, isFresh bool) {
	own := ""
	switch {
	case !m.hasStormID:
	case body == m.body:
		own = m.stormID
	default:
		own = ownStormID(body)
	}
	if own == "" {
		return fresh, true
	}
	return own, false
}
