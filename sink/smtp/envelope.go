package smtp

import "unicode/utf8"

// MailArgs is what a MAIL command says. Its slices alias the line and are valid as long as that is.
type MailArgs struct {
	Path     []byte // reverse path without angle brackets and source route; empty for the null sender
	Size     int64  // SIZE in octets (RFC 1870), saturated at math.MaxInt64; -1 when absent
	Body     Body   // BODY (RFC 6152, RFC 3030)
	SMTPUTF8 bool   // SMTPUTF8 (RFC 6531)
	Ret      Ret    // RET (RFC 3461)
	EnvID    []byte // ENVID in xtext, 1 to 100 octets; nil when absent (RFC 3461)
	Auth     []byte // AUTH in xtext, or "<>"; nil when absent (RFC 4954 section 5)
	Params   []byte // all parameters as they stand behind the path

	RequireTLS bool // REQUIRETLS (RFC 8689)
}

// RcptArgs is what a RCPT command says. Its slices alias the line and are valid as long as that is.
type RcptArgs struct {
	Path     []byte // forward path without angle brackets and source route; never empty
	NonASCII bool   // Path holds UTF-8: only allowed after MAIL with SMTPUTF8, see CheckUTF8
	Notify   Notify // NOTIFY (RFC 3461); zero when absent
	ORcpt    []byte // ORCPT, type and ";" and xtext; nil when absent (RFC 3461)
}

// ParseMail parses the arguments of MAIL, and of SEND, SOML and SAML, which have the same form (RFC 821): FROM:, a path, and
// parameters. m is overwritten; of one with an error only Path is defined, nil where that is malformed. The error is always a *SyntaxError:
//
//   - 501 5.5.4: no FROM:, a parameter that is malformed or stands twice, or a known one with a wrong value
//   - 501 5.1.7: the path is malformed
//   - 555 5.5.4: an unknown parameter (RFC 5321 section 4.1.1.11)
//   - 553 5.6.7: a path with UTF-8, but no SMTPUTF8 (RFC 6531 section 3.5)
//
// Blanks after the colon are accepted, as Postfix does, though RFC 5321 section 3.3 forbids them; blanks before it are not.
// It does not allocate.
func ParseMail(args []byte, m *MailArgs) error { return ParseMailKnowing(args, m, nil) }

// ParseMailKnowing does the same where more parameters are known: those of whose keyword known says so may have any value, also more than
// once. nil knows none.
func ParseMailKnowing(args []byte, m *MailArgs, known func(keyword []byte) bool) error {
	*m = MailArgs{Size: -1}
	rest, ok := cutKeyword(args, "FROM:")
	if !ok {
		return errMailSyntax
	}
	if m.Path, rest, ok = cutPath(rest); !ok || len(m.Path) > 0 && !validMailbox(m.Path) {
		m.Path = nil
		return errSender
	}
	m.Params = rest
	if err := parseMailParams(rest, m, known); err != nil {
		return err
	}
	if !isASCII(m.Path) {
		if !m.SMTPUTF8 {
			return errNonASCII
		}
		if !utf8.Valid(m.Path) {
			m.Path = nil
			return errSender
		}
	}
	return nil
}

func parseMailParams(args []byte, m *MailArgs, known func([]byte) bool) error {
	for {
		p, rest, ok, err := NextParam(args)
		if !ok {
			return err
		}
		args = rest
		switch {
		case equalFold(p.Key, "SIZE"):
			if m.Size >= 0 {
				return errParamTwice
			}
			if m.Size, ok = parseSize(p.Value); !ok {
				return errSize
			}
		case equalFold(p.Key, "BODY"):
			if m.Body != BodyNone {
				return errParamTwice
			}
			if m.Body, ok = parseBody(p.Value); !ok {
				return errBody
			}
		case equalFold(p.Key, "SMTPUTF8"):
			if m.SMTPUTF8 {
				return errParamTwice
			}
			if p.HasValue {
				return errSMTPUTF8
			}
			m.SMTPUTF8 = true
		case equalFold(p.Key, "REQUIRETLS"):
			if m.RequireTLS {
				return errParamTwice
			}
			if p.HasValue {
				return errRequireTLS
			}
			m.RequireTLS = true
		case equalFold(p.Key, "RET"):
			if m.Ret != RetNone {
				return errParamTwice
			}
			if m.Ret, ok = parseRet(p.Value); !ok {
				return errRet
			}
		case equalFold(p.Key, "ENVID"):
			if m.EnvID != nil {
				return errParamTwice
			}
			if !p.HasValue || len(p.Value) > 100 || !validXText(p.Value) {
				return errEnvID
			}
			m.EnvID = p.Value
		case equalFold(p.Key, "AUTH"):
			if m.Auth != nil {
				return errParamTwice
			}
			if !p.HasValue || string(p.Value) != "<>" && !validXText(p.Value) {
				return errAuthParam
			}
			m.Auth = p.Value
		case known != nil && known(p.Key):
		default:
			return errParamUnknown
		}
	}
}

// ParseRcpt parses the arguments of RCPT: TO:, a path, and parameters. r is overwritten; of one with an error only Path is defined, nil where that
// is malformed. The error is always a *SyntaxError: 501 5.5.4 and 555 5.5.4 as for ParseMail, and 501 5.1.3 for a malformed or empty path.
// It accepts UTF-8 in the path, since it can't know what MAIL said: see CheckUTF8. It does not allocate.
func ParseRcpt(args []byte, r *RcptArgs) error {
	*r = RcptArgs{}
	rest, ok := cutKeyword(args, "TO:")
	if !ok {
		return errRcptSyntax
	}
	if r.Path, rest, ok = cutPath(rest); !ok || !validMailbox(r.Path) {
		r.Path = nil
		return errRecipient
	}
	if r.NonASCII = !isASCII(r.Path); r.NonASCII && !utf8.Valid(r.Path) {
		r.Path = nil
		return errRecipient
	}
	for {
		p, rest2, ok, err := NextParam(rest)
		if !ok {
			return err
		}
		rest = rest2
		switch {
		case equalFold(p.Key, "NOTIFY"):
			if r.Notify != 0 {
				return errParamTwice
			}
			if r.Notify, ok = parseNotify(p.Value); !ok {
				return errNotify
			}
		case equalFold(p.Key, "ORCPT"):
			if r.ORcpt != nil {
				return errParamTwice
			}
			if !validORcpt(p.Value) {
				return errORcpt
			}
			r.ORcpt = p.Value
		default:
			return errParamUnknown
		}
	}
}

// CheckUTF8 returns the *SyntaxError 553 5.6.7 when the path holds UTF-8 although MAIL came without SMTPUTF8 (RFC 6531
// section 3.5), and nil otherwise.
func (r *RcptArgs) CheckUTF8(smtputf8 bool) error {
	if r.NonASCII && !smtputf8 {
		return errNonASCII
	}
	return nil
}

// cutKeyword drops FROM: or TO: and the blanks behind it.
func cutKeyword(args []byte, keyword string) (rest []byte, ok bool) {
	if len(args) < len(keyword) || !equalFold(args[:len(keyword)], keyword) {
		return nil, false
	}
	rest = trimLeft(args[len(keyword):])
	return rest, len(rest) > 0
}
