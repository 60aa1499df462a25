package xk6smtp

import (
	"bytes"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// tokenHeader carries the token that is unique to each sending, so that what a server got can be told from its duplicates.
const tokenHeader = "X-Storm-Id"

// message is built once and sent any number of times: only the header lines of appendHeader differ from one sending to the
// next. It is immutable, and shared by everything that sends it.
type message struct {
	from string
	to   []string
	body *client.Body // with the fields' defaults

	template *client.Template // nil without fields
	fields   []pair           // names and defaults

	idDomain                    string // right of the @ in Message-ID
	date, messageID, hasStormID bool   // header fields that the body has itself
	stormID                     string // value of that X-Storm-Id, with the fields' defaults
}

// messageOptions is what new Message takes.
type messageOptions struct {
	from        string
	to, cc, bcc []string
	subject     string
	text, html  string
	headers     []pair
	size        int
	raw         []byte
	attachments []attachment
	inline      []attachment
	fields      []pair
	given       map[string]bool
}

// newMessage builds a message; errors are *optionErrors.
func newMessage(o *messageOptions) (*message, error) {
	if !o.given["from"] {
		return nil, &optionError{messageOwner, "from", "is required"}
	}
	m := &message{}
	if err := m.setEnvelope(o); err != nil {
		return nil, err
	}
	if o.raw != nil {
		for _, key := range []string{"subject", "text", "html", "headers", "size", "cc", "bcc", "attachments", "inline"} {
			if o.given[key] {
				return nil, &optionError{messageOwner, key, "can't be combined with raw"}
			}
		}
		m.date, m.messageID = true, true
		m.hasStormID = hasField(o.raw, tokenHeader)
		return m, m.finish(o, o.raw)
	}
	if o.size > 0 && len(o.fields) > 0 {
		return nil, &optionError{messageOwner, "size", "can't be combined with fields, whose values have a length of their own"}
	}
	return m, m.build(o)
}

// setEnvelope takes the bare addresses.
func (m *message) setEnvelope(o *messageOptions) error {
	var err error
	if m.from, err = bareAddress(o.from); err != nil || (m.from == "" && o.raw == nil) {
		return &optionError{messageOwner, "from", fmt.Sprintf("wants a mail address, not %q", o.from)}
	}
	for _, list := range []struct {
		key       string
		addresses []string
	}{{"to", o.to}, {"cc", o.cc}, {"bcc", o.bcc}} {
		for _, address := range list.addresses {
			bare, err := bareAddress(address)
			if err != nil || bare == "" {
				return &optionError{messageOwner, list.key, fmt.Sprintf("wants mail addresses, not %q", address)}
			}
			m.to = append(m.to, bare)
		}
	}
	_, m.idDomain, _ = strings.Cut(m.from, "@")
	if m.idDomain == "" {
		m.idDomain = "localhost"
	}
	return nil
}

// bareAddress takes "Name <address>" apart. What has no angle bracket is taken as it is: a server may be tested with addresses
// that no parser likes.
func bareAddress(s string) (string, error) {
	if !strings.ContainsRune(s, '<') {
		return s, nil
	}
	if s == "<>" {
		return "", nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return "", err
	}
	return a.Address, nil
}

// build writes the MIME message.
func (m *message) build(o *messageOptions) error {
	for _, h := range o.headers {
		switch strings.ToLower(h.name) {
		case "date":
			m.date = true
		case "message-id":
			m.messageID = true
		case strings.ToLower(tokenHeader):
			m.hasStormID = true
		}
	}
	text := o.text
	wire, err := render(o, text)
	if err != nil {
		return err
	}
	if o.size > 0 {
		if text, err = m.fill(o); err != nil {
			return err
		}
		if wire, err = render(o, text); err != nil {
			return err
		}
	}
	return m.finish(o, wire)
}

// finish cuts the message where its fields stand, and fills them with their defaults.
func (m *message) finish(o *messageOptions, wire []byte) error {
	if len(o.fields) == 0 {
		m.body = client.NewBody(wire)
		m.stormID = ownStormID(m.body)
		return nil
	}
	m.fields = o.fields
	markers := make([]string, len(o.fields))
	for i, f := range o.fields {
		if markers[i] = "{{" + f.name + "}}"; !bytes.Contains(wire, []byte(markers[i])) {
			return &optionError{messageOwner, "fields." + f.name, "stands nowhere as " + markers[i] + " (an encoded header or attachment can't hold a field)"}
		}
	}
	var err error
	if m.template, err = client.NewTemplate(wire, markers); err != nil {
		return &optionError{messageOwner, "fields", err.Error()}
	}
	m.body = &client.Body{}
	if err := m.template.Execute(m.body, m.values(nil)); err != nil {
		return &optionError{messageOwner, "fields", err.Error()}
	}
	m.stormID = ownStormID(m.body)
	return nil
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

// check refuses values of fields that the message doesn't have, or that can't stand where the field does.
func (m *message) check(own []pair) error {
	var names []string
	for _, f := range m.fields {
		names = append(names, f.name)
	}
	for _, o := range own {
		if !slices.Contains(names, o.name) {
			return &optionError{"send", "fields." + o.name, "is no field of the message (valid: " + strings.Join(names, " ") + ")"}
		}
	}
	if m.template == nil {
		return nil
	}
	if err := m.template.Check(m.values(own)); err != nil {
		return &optionError{"send", "fields", err.Error()}
	}
	return nil
}

// generatedFields are written by go-mail unless they are set under exactly this name.
var generatedFields = [...]gomail.Header{gomail.HeaderDate, gomail.HeaderMessageID}

// render has go-mail write the message, without the fields that differ from one sending to the next.
func render(o *messageOptions, text string) ([]byte, error) {
	options := []gomail.MsgOption{gomail.WithNoDefaultUserAgent()}
	if len(o.fields) > 0 { // an encoding would hide the gaps, and not fit what fills them
		options = append(options, gomail.WithEncoding(gomail.NoEncoding))
	}
	msg := gomail.NewMsg(options...)
	if err := msg.From(o.from); err != nil {
		return nil, &optionError{messageOwner, "from", "wants a mail address: " + err.Error()}
	}
	if err := addresses(msg.To, o.to); err != nil {
		return nil, &optionError{messageOwner, "to", "wants mail addresses: " + err.Error()}
	}
	if err := addresses(msg.Cc, o.cc); err != nil {
		return nil, &optionError{messageOwner, "cc", "wants mail addresses: " + err.Error()}
	}
	if o.subject != "" {
		msg.Subject(o.subject)
	}
	own := map[gomail.Header]bool{}
	for _, h := range o.headers {
		if problem := headerProblem(h); problem != "" {
			return nil, &optionError{messageOwner, "headers." + h.name, problem}
		}
		name := gomail.Header(h.name)
		for _, generated := range generatedFields {
			if strings.EqualFold(h.name, string(generated)) {
				name = generated
				own[name] = true
			}
		}
		msg.SetGenHeader(name, h.value)
	}
	switch {
	case o.html == "":
		msg.SetBodyString(gomail.TypeTextPlain, text)
	case text == "":
		msg.SetBodyString(gomail.TypeTextHTML, o.html)
	default:
		msg.SetBodyString(gomail.TypeTextPlain, text)
		msg.AddAlternativeString(gomail.TypeTextHTML, o.html)
	}
	for _, file := range o.attachments {
		if err := msg.AttachReader(file.name, bytes.NewReader(file.content), file.options()...); err != nil {
			return nil, &optionError{messageOwner, "attachments", err.Error()}
		}
	}
	for _, file := range o.inline {
		if err := msg.EmbedReader(file.name, bytes.NewReader(file.content), file.options()...); err != nil {
			return nil, &optionError{messageOwner, "inline", err.Error()}
		}
	}
	var buf bytes.Buffer
	if _, err := msg.WriteTo(&buf); err != nil {
		return nil, &optionError{owner: messageOwner, problem: err.Error()}
	}
	wire := buf.Bytes()
	for _, name := range generatedFields {
		if !own[name] {
			wire = cutField(wire, string(name))
		}
	}
	return wire, nil
}

func addresses(set func(...string) error, list []string) error {
	if len(list) == 0 {
		return nil
	}
	return set(list...)
}

// headerProblem says why a field can't be sent, or returns the empty string (RFC 5322 section 2.2).
func headerProblem(h pair) string {
	if h.name == "" || strings.ContainsFunc(h.name, func(r rune) bool { return r <= ' ' || r == ':' || r > '~' }) {
		return "is no name for a header field"
	}
	switch strings.ToLower(h.name) {
	case "from", "to", "cc", "bcc", "subject":
		return "has an option of its own"
	case "mime-version", "content-type", "content-transfer-encoding":
		return "follows from text and html (raw sends a message as it is)"
	}
	if strings.ContainsAny(h.value, "\r\n\x00") {
		return "wants a value without line breaks and NUL"
	}
	return ""
}

// fillLine is the length of a line of filler with its CRLF: short enough never to be folded by an encoder (RFC 2045 section
// 6.7).
const fillLine = 74

// fill returns the text extended so that the whole message, with the lines that appendHeader puts before it, has o.size octets.
func (m *message) fill(o *messageOptions) (string, error) {
	text := o.text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\r\n"
	}
	measured, err := render(o, text+filler(fillLine))
	if err != nil {
		return "", err
	}
	fixed := client.NewBody(measured).Size() + len(m.appendHeader(nil, strings.Repeat("x", tokenLength), new(dateLine).at(time.Time{}))) - fillLine
	if o.size <= fixed {
		return "", &optionError{messageOwner, "size", fmt.Sprintf("wants at least %d for this message, not %d", fixed+1, o.size)}
	}
	return text + filler(o.size-fixed), nil
}

// filler returns n octets of text in lines, the last one unfinished.
func filler(n int) string {
	fill := bytes.Repeat([]byte("x"), n)
	for i := fillLine; i < n; i += fillLine {
		fill[i-2], fill[i-1] = '\r', '\n'
	}
	return string(fill)
}

// token returns what a sending of body is known by: the message's own X-Storm-Id if it has one, and fresh otherwise.
func (m *message) token(body *client.Body, fresh string) string {
	own := ""
	switch {
	case !m.hasStormID:
	case body == m.body:
		own = m.stormID
	default:
		own = ownStormID(body)
	}
	if own == "" {
		return fresh
	}
	return own
}

// ownStormID is the value of a body's X-Storm-Id, empty without one.
func ownStormID(body *client.Body) string {
	start, end, ok := field(body.Wire(), tokenHeader)
	if !ok {
		return ""
	}
	return stormID(body.Wire()[start+len(tokenHeader)+1 : end])
}

// appendHeader appends the lines that belong to one sending: Date and Message-ID unless the message has its own (RFC 5322
// section 3.6 wants both), and the token, which the body has itself if it is not fresh.
func (m *message) appendHeader(dst []byte, token string, date []byte) []byte {
	if !m.date {
		dst = append(dst, date...)
	}
	if !m.messageID {
		dst = append(dst, "Message-ID: <"...)
		dst = append(dst, token...)
		dst = append(dst, '@')
		dst = append(dst, m.idDomain...)
		dst = append(dst, ">\r\n"...)
	}
	if !m.hasStormID {
		dst = append(dst, tokenHeader+": "...)
		dst = append(dst, token...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// dateLine is a Date field for the second in which it was last asked for: formatting costs more than all else that a message gets
// for itself.
type dateLine struct {
	second int64
	line   []byte
}

// at returns the field with its CRLF; it belongs to d.
func (d *dateLine) at(now time.Time) []byte {
	if second := now.Unix(); second != d.second || d.line == nil {
		d.second = second
		d.line = now.AppendFormat(d.line[:0], "Date: Mon, 02 Jan 2006 15:04:05 -0700\r\n")
	}
	return d.line
}

// field finds a header field with its folded lines.
func field(message []byte, name string) (start, end int, ok bool) {
	for start < len(message) {
		end = start
		for {
			next := bytes.IndexByte(message[end:], '\n')
			if next < 0 {
				return 0, 0, false
			}
			end += next + 1
			if end == len(message) || (message[end] != ' ' && message[end] != '\t') {
				break
			}
		}
		line := message[start:end]
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return 0, 0, false
		}
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return start, end, true
		}
		start = end
	}
	return 0, 0, false
}

func hasField(message []byte, name string) bool {
	_, _, ok := field(message, name)
	return ok
}

func cutField(message []byte, name string) []byte {
	start, end, ok := field(message, name)
	if !ok {
		return message
	}
	return append(message[:start:start], message[end:]...)
}
