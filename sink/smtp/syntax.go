package smtp

// SyntaxError says what is wrong with the arguments of a command, as the reply that a server gives to it. There is a fixed set
// of them, so that a parser returns one without allocating; compare with errors.As, not with ==.
type SyntaxError struct {
	Reply *Reply // never nil; shared, not to be changed
}

// Error returns the reply on one line: "501 5.5.4 Syntax: MAIL FROM:<address>".
func (e *SyntaxError) Error() string { return e.Reply.String() }

func syntaxError(code Code, subject, detail uint16, text string) *SyntaxError {
	return &SyntaxError{&Reply{Code: code, Enhanced: Enhanced{5, subject, detail}, Lines: []string{text}}}
}

// Codes: RFC 5321 section 4.1.1.11 asks for 555 when a parameter is not recognised or not implemented, section 4.2.4 for 501
// when the argument of a known one is wrong. RFC 3463 has X.5.4 for arguments, X.1.7 for the sender's syntax, X.1.3 for a
// destination's.
var (
	errMailSyntax   = syntaxError(501, 5, 4, "Syntax: MAIL FROM:<address>")
	errRcptSyntax   = syntaxError(501, 5, 4, "Syntax: RCPT TO:<address>")
	errBdatSyntax   = syntaxError(501, 5, 4, "Syntax: BDAT size [LAST]")
	errSender       = syntaxError(501, 1, 7, "Bad sender's mailbox address syntax")
	errRecipient    = syntaxError(501, 1, 3, "Bad destination mailbox address syntax")
	errParamSyntax  = syntaxError(501, 5, 4, "Bad parameter syntax, want keyword[=value]")
	errParamTwice   = syntaxError(501, 5, 4, "Parameter given more than once")
	errParamUnknown = syntaxError(555, 5, 4, "MAIL FROM/RCPT TO parameters not recognized or not implemented")
	errSize         = syntaxError(501, 5, 4, "Bad SIZE value, want 1 to 20 digits")
	errBody         = syntaxError(501, 5, 4, "Bad BODY value, want 7BIT, 8BITMIME or BINARYMIME")
	errSMTPUTF8     = syntaxError(501, 5, 4, "SMTPUTF8 takes no value")
	errRequireTLS   = syntaxError(501, 5, 4, "REQUIRETLS takes no value")
	errRet          = syntaxError(501, 5, 4, "Bad RET value, want FULL or HDRS")
	errEnvID        = syntaxError(501, 5, 4, "Bad ENVID value, want 1 to 100 characters of xtext")
	errAuthParam    = syntaxError(501, 5, 4, "Bad AUTH value, want xtext or <>")
	errNotify       = syntaxError(501, 5, 4, "Bad NOTIFY value, want NEVER or a list of SUCCESS, FAILURE, DELAY")
	errORcpt        = syntaxError(501, 5, 4, "Bad ORCPT value, want type;xtext of at most 500 characters")
	errNonASCII     = syntaxError(553, 6, 7, "Non-ASCII addresses not permitted for that sender/recipient")
)
