package xk6smtp

import (
	"errors"
	"mime"
	"net/mail"
	"strings"

	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// address is a mail address of an option: every option that holds one is read by parseAddress.
type address struct {
	// name is the display name, decoded; empty if there is none.
	name string
	// mailbox is what stands between the angle brackets of MAIL, RCPT and header fields, with the quotes that it needs; empty is the null
	// sender.
	mailbox string
}

// Why a text is no address.
var (
	errControl  = errors.New("it holds a control character")
	errSpecial  = errors.New(`blanks and any of ,;:<>()[]\" are allowed in quotes only, and each address stands alone`)
	errTwoAts   = errors.New(`it has two "@": put the local part in quotes`)
	errHalf     = errors.New(`nothing stands before or behind the "@"`)
	errQuote    = errors.New("a quoted string does not end where it must")
	errBrackets = errors.New("its angle brackets are not closed, or something stands behind them")
	errName     = errors.New("its display name needs quotes")
	errNoGap    = errors.New("a field stands where it can't be filled in: in a group or a comment, or in an encoded word that is not Q")
	errEmpty    = errors.New("it is empty")
	errTooLong  = errors.New("it is too long")
)

// parseAddress reads "local@domain", "local", "<local@domain>" and "Name <local@domain>"; "" and "<>" are the null sender.
//
// The mailbox is taken octet for octet. It is judged by what keeps it one address in a command line and in a header field, not by RFC 5321's
// whole grammar: dots anywhere, hosts that can't be, and local parts alone are for the server to refuse, which is what tests ask it for.
// What has a comment is left to net/mail.
func parseAddress(s string) (address, error) {
	a, err := readAddress(s)
	if err != nil && strings.Contains(s, "(") {
		if parsed, mailErr := mail.ParseAddress(s); mailErr == nil {
			return fromMail(parsed)
		}
	}
	return a, err
}

func readAddress(s string) (address, error) {
	s = strings.Trim(s, " \t")
	open := indexUnquoted(s, '<')
	if open < 0 {
		return address{mailbox: s}, checkMailbox(s)
	}
	end := open + 1 + indexUnquoted(s[open+1:], '>')
	if end <= open || end != len(s)-1 {
		return address{}, errBrackets
	}
	a := address{mailbox: s[open+1 : end]}
	if err := checkMailbox(a.mailbox); err != nil {
		return address{}, err
	}
	var err error
	a.name, err = parsePhrase(strings.Trim(s[:open], " \t"))
	if err == nil && a.mailbox == "" && a.name != "" {
		err = errHalf
	}
	return a, err
}

// parsePhrase decodes a display name. net/mail wants an address behind it.
func parsePhrase(phrase string) (string, error) {
	if phrase == "" {
		return "", nil
	}
	if strings.ContainsFunc(phrase, isControl) {
		return "", errControl
	}
	a, err := (&mail.AddressParser{WordDecoder: new(mime.WordDecoder)}).Parse(phrase + " <a@b.test>")
	if err != nil {
		return "", errName
	}
	return a.Name, nil
}

// fromMail takes over what net/mail has parsed: it drops the local part's quotes.
func fromMail(parsed *mail.Address) (address, error) {
	at := strings.LastIndexByte(parsed.Address, '@')
	a := address{name: parsed.Name, mailbox: joinMailbox(parsed.Address[:max(at, 0)], parsed.Address[at+1:], false)}
	return a, checkMailbox(a.mailbox)
}

// indexUnquoted finds c outside of quoted strings, comments, address literals and, unless it is looked for, angle brackets.
func indexUnquoted(s string, c byte) int {
	quoted, comments, angle := false, 0, false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case quoted && ch == '\\', comments > 0 && ch == '\\':
			i++
		case ch == '"' && comments == 0:
			quoted = !quoted
		case quoted:
		case ch == '(':
			comments++
		case ch == ')' && comments > 0:
			comments--
		case comments > 0:
		case ch == c && !angle:
			return i
		case ch == '<':
			angle = true
		case ch == '>':
			angle = false
		}
	}
	return -1
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// checkMailbox says what keeps a mailbox from being one address. The empty one is.
func checkMailbox(mailbox string) error {
	if mailbox == "" {
		return nil
	}
	if strings.ContainsFunc(mailbox, isControl) {
		return errControl
	}
	end := strings.IndexByte(mailbox, '@')
	switch {
	case mailbox[0] == '"':
		if end = quotedEnd(mailbox); end < 0 || end < len(mailbox) && mailbox[end] != '@' {
			return errQuote
		}
	case end == 0:
		return errHalf
	case end < 0:
		end = len(mailbox)
	}
	if mailbox[0] != '"' && strings.ContainsAny(mailbox[:end], special) {
		return errSpecial
	}
	if end < len(mailbox) {
		if err := checkDomain(mailbox[end+1:]); err != nil {
			return err
		}
	}
	if client.CheckAddress(mailbox) != nil {
		return errTooLong
	}
	return nil
}

// special are the characters that an unquoted local part or domain must not hold: they end the address, or begin another thing.
const special = ` ,;:<>()[]\"`

func checkDomain(domain string) error {
	switch {
	case domain == "":
		return errHalf
	case len(domain) > 2 && domain[0] == '[' && domain[len(domain)-1] == ']' && !strings.ContainsAny(domain[1:len(domain)-1], `[]\<> "`):
		return nil
	case strings.ContainsAny(domain, special):
		return errSpecial
	case strings.Contains(domain, "@"):
		return errTwoAts
	}
	return nil
}

// quotedEnd is where the quoted string at the start of s is over, or -1.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// splitMailbox takes a mailbox apart that checkMailbox has let pass: the local part without quotes and escapes, and the domain.
func splitMailbox(mailbox string) (local, domain string, quoted, hasDomain bool) {
	if mailbox != "" && mailbox[0] == '"' {
		end := quotedEnd(mailbox)
		var text strings.Builder
		for i := 1; i < end-1; i++ {
			if mailbox[i] == '\\' {
				i++
			}
			text.WriteByte(mailbox[i])
		}
		domain, hasDomain = strings.CutPrefix(mailbox[end:], "@")
		return text.String(), domain, true, hasDomain
	}
	local, domain, hasDomain = strings.Cut(mailbox, "@")
	return local, domain, false, hasDomain
}

// joinMailbox puts a mailbox together, with quotes where the local part needs them, or where it had them.
func joinMailbox(local, domain string, quoted bool) string {
	if quoted || local != "" && strings.ContainsAny(local, special+"@") {
		local = `"` + quoteEscapes.Replace(local) + `"`
	}
	if domain == "" {
		return local
	}
	return local + "@" + domain
}

var quoteEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// idDomain is what stands right of the "@" in the Message-ID of a sender's messages: the sender's domain, where a message ID may hold it (RFC 5322
// section 3.6.4).
func idDomain(mailbox string) string {
	_, domain, _, _ := splitMailbox(mailbox)
	if domain == "" || strings.ContainsFunc(domain, func(r rune) bool { return r > '~' }) {
		return "localhost"
	}
	return domain
}
