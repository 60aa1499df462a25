package reconcile

import (
	"bytes"

	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxID is how much of an identity counts, in claims and rows alike: what a row holds.
const maxID = ledger.MaxValue

// appendAddress appends the canonical form of an address, which may stand in angle brackets (docs/reconciliation.md, Identity). Two addresses are the
// same when their canonical forms are. The last @ of the form ends the local part, since no domain holds one.
func appendAddress(dst, address []byte) []byte {
	return smtp.AppendAddress(dst, unbracket(cut(address)))
}

func cut(id []byte) []byte {
	if len(id) > maxID {
		return id[:maxID]
	}
	return id
}

// unbracket drops angle brackets. Of an identity that was cut the closing one is missing.
func unbracket(id []byte) []byte {
	n := len(id)
	if n >= 2 && id[0] == '<' && (id[n-1] == '>' || n == maxID) {
		id = bytes.TrimSuffix(id[1:], closing)
	}
	return id[:min(len(id), maxID-len("<>"))]
}

var closing = []byte{'>'}

func appendLower(dst, text []byte) []byte {
	for _, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// appendID appends the canonical form of a token, an X-Storm-Id or a Message-ID: that of an address if it has the form of one.
func appendID(dst, id []byte) []byte {
	id = unbracket(bytes.TrimSpace(cut(id)))
	if bytes.IndexByte(id, '@') < 0 {
		return append(dst, id...)
	}
	return appendAddress(dst, id)
}

// sameButForCase reports whether two canonical addresses differ in the case of their local parts at most.
func sameButForCase(a, b []byte) bool { return len(a) == len(b) && bytes.EqualFold(a, b) }

// decodeORCPT returns the address of an ORCPT parameter, "rfc822;xtext" (RFC 3461 section 4.2), in dst.
func decodeORCPT(dst, orcpt []byte) ([]byte, bool) {
	kind, text, ok := bytes.Cut(orcpt, []byte(";"))
	if !ok || !(bytes.EqualFold(kind, []byte("rfc822")) || bytes.EqualFold(kind, []byte("utf-8"))) {
		return dst, false
	}
	decoded, ok := smtp.DecodeXText(dst, text)
	if !ok {
		return append(dst, text...), true
	}
	return decoded, true
}
