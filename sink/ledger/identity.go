package ledger

import "bytes"

// Identities are compared in a normal form: without the angle brackets of a path or a Message-ID, and with the part after the last @ in
// lower case, since domains have no case (RFC 5321 section 2.4) and MTAs rewrite them. What is longer than a row can hold is compared
// as far as rows hold it.

var closing = []byte{'>'}

func appendNormal(dst, id []byte) []byte {
	n := len(id)
	if n >= 2 && id[0] == '<' && (id[n-1] == '>' || n >= MaxValue) { // of one that was cut the end is missing
		id = bytes.TrimSuffix(id[1:], closing)
	}
	id = id[:min(len(id), MaxValue-len("<>"))]
	domain := len(id)
	for i, c := range id {
		if c == '@' {
			domain = i
		}
	}
	dst = append(dst, id[:domain]...)
	for _, c := range id[domain:] {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// keyBuffer makes normal forms without allocating.
type keyBuffer struct{ idBuf, recipientBuf []byte }

// id returns the normal form, valid until the next call of id.
func (k *keyBuffer) id(id []byte) []byte {
	k.idBuf = appendNormal(k.idBuf[:0], id)
	return k.idBuf
}

// recipient returns the normal form, valid until the next call of recipient.
func (k *keyBuffer) recipient(address []byte) []byte {
	k.recipientBuf = appendNormal(k.recipientBuf[:0], address)
	return k.recipientBuf
}
