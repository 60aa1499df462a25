package smtp

import (
	"bytes"
	"fmt"
)

// Param is one ESMTP parameter, keyword[=value] (RFC 5321 section 4.1.2). Both slices alias the line.
type Param struct {
	Key, Value []byte
	HasValue   bool // whether there was a "="
}

// NextParam cuts the first parameter off args and returns it with the rest. ok is false when args hold no well-formed
// parameter: either args are empty, or the error is a *SyntaxError. A keyword is letters, digits and "-", starting with a letter
// or digit; a value is one or more octets without "=", blanks and control characters.
func NextParam(args []byte) (p Param, rest []byte, ok bool, err error) {
	word, rest := cutWord(trimLeft(args))
	if len(word) == 0 {
		return Param{}, rest, false, nil
	}
	p.Key = word
	if eq := bytes.IndexByte(word, '='); eq >= 0 {
		p.Key, p.Value, p.HasValue = word[:eq], word[eq+1:], true
		if len(p.Value) == 0 {
			return Param{}, rest, false, errParamSyntax
		}
	}
	if len(p.Key) == 0 || p.Key[0] == '-' {
		return Param{}, rest, false, errParamSyntax
	}
	for _, c := range p.Key {
		if octets[c]&inKeyword == 0 {
			return Param{}, rest, false, errParamSyntax
		}
	}
	for _, c := range p.Value {
		if octets[c]&inValue == 0 {
			return Param{}, rest, false, errParamSyntax
		}
	}
	return p, rest, true, nil
}

// Body is the value of the BODY parameter: what the client says about the message's octets.
type Body uint8

// The values of Body.
const (
	BodyNone       Body = iota // the parameter is absent, which means 7BIT
	Body7Bit                   // 7BIT (RFC 6152)
	Body8BitMIME               // 8BITMIME (RFC 6152)
	BodyBinaryMIME             // BINARYMIME (RFC 3030): only BDAT may carry it
)

var bodyNames = [...]string{"", "7BIT", "8BITMIME", "BINARYMIME"}

// String returns the parameter's value, or the empty string when it is absent.
func (b Body) String() string {
	if int(b) < len(bodyNames) {
		return bodyNames[b]
	}
	return fmt.Sprintf("body(%d)", uint8(b))
}

// Ret is the value of the RET parameter: what a bounce is to return (RFC 3461 section 4.3).
type Ret uint8

// The values of Ret.
const (
	RetNone Ret = iota // the parameter is absent
	RetFull            // FULL: the whole message
	RetHdrs            // HDRS: its header
)

var retNames = [...]string{"", "FULL", "HDRS"}

// String returns the parameter's value, or the empty string when it is absent.
func (r Ret) String() string {
	if int(r) < len(retNames) {
		return retNames[r]
	}
	return fmt.Sprintf("ret(%d)", uint8(r))
}

// Notify is the value of the NOTIFY parameter: a set of the events to report (RFC 3461 section 4.1). The zero value means that
// the parameter is absent. NotifyNever stands alone.
type Notify uint8

// The members of Notify.
const (
	NotifyNever   Notify = 1 << iota // NEVER
	NotifySuccess                    // SUCCESS
	NotifyFailure                    // FAILURE
	NotifyDelay                      // DELAY
)

// String returns the parameter's value in the order NEVER SUCCESS FAILURE DELAY, or the empty string when it is absent.
func (n Notify) String() string {
	var s []byte
	for i, name := range [...]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} {
		if n&(1<<i) != 0 {
			if len(s) > 0 {
				s = append(s, ',')
			}
			s = append(s, name...)
		}
	}
	return string(s)
}

func parseBody(value []byte) (Body, bool) {
	switch {
	case equalFold(value, "7BIT"):
		return Body7Bit, true
	case equalFold(value, "8BITMIME"):
		return Body8BitMIME, true
	case equalFold(value, "BINARYMIME"):
		return BodyBinaryMIME, true
	}
	return BodyNone, false
}

func parseRet(value []byte) (Ret, bool) {
	switch {
	case equalFold(value, "FULL"):
		return RetFull, true
	case equalFold(value, "HDRS"):
		return RetHdrs, true
	}
	return RetNone, false
}

func parseNotify(value []byte) (Notify, bool) {
	if equalFold(value, "NEVER") {
		return NotifyNever, true
	}
	var set Notify
	for more := true; more; {
		var word []byte
		word, value, more = bytes.Cut(value, comma)
		switch {
		case equalFold(word, "SUCCESS"):
			set |= NotifySuccess
		case equalFold(word, "FAILURE"):
			set |= NotifyFailure
		case equalFold(word, "DELAY"):
			set |= NotifyDelay
		default:
			return 0, false
		}
	}
	return set, true
}

var comma = []byte{','}

// validORcpt reports whether value is an address type, ";" and xtext (RFC 3461 section 4.2). With the type utf-8 the address
// may hold UTF-8 as it is (RFC 6533 section 3).
func validORcpt(value []byte) bool {
	kind, address, ok := bytes.Cut(value, semicolon)
	if !ok || len(kind) == 0 || len(value) > 500 {
		return false
	}
	for _, c := range kind {
		if octets[c]&inAtom == 0 {
			return false
		}
	}
	if equalFold(kind, "UTF-8") {
		return true
	}
	return validXText(address)
}

var semicolon = []byte{';'}
