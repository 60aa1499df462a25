package reconcile

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxWraps bounds how often a sender may have been rewritten.
const maxWraps = 4

// likelySender returns the sender of a claim that a relay has made this one of, which no claim has: in another case, or rewritten for the
// way back. It returns nil when there is none, or more than one. The sender is in canonical form.
func (j *Judge) likelySender(sender []byte) []byte {
	for range maxWraps {
		if e := j.folded.find(j, sender); e != nil {
			return e
		}
		inner, ok := unwrapSender(sender)
		if !ok {
			return nil
		}
		sender = appendAddress(nil, inner)
	}
	return nil
}

// knownSender returns the entry of the claims' sender that the address is, or was made of; nil when there is none.
func (j *Judge) knownSender(address []byte) *entry {
	j.idBuf = appendID(j.idBuf[:0], address)
	e := j.senders.find(&j.texts, j.idBuf)
	if e == nil && len(j.idBuf) > 0 {
		if sender := j.likelySender(j.idBuf); sender != nil {
			e = j.senders.find(&j.texts, sender)
		}
	}
	return e
}

// folds finds the claims' senders whatever their case. It is made when it is first asked, which most runs never do.
type folds struct {
	index index // hash of the sender in lower case -> text of the sender, or several
	n     int32 // how many senders it has
	buf   []byte
}

// find returns the only sender of a claim that differs from this one in case at most, or nil.
func (x *folds) find(j *Judge, sender []byte) []byte {
	all := &j.senders.index.entries
	for ; int(x.n) < all.n; x.n++ {
		name := all.at(x.n).text
		if e := x.entry(j, j.texts.get(name)); e != nil {
			e.value = several
		} else {
			x.index.add(entry{hash: xxhash.Sum64(x.buf), text: name})
		}
	}
	if e := x.entry(j, sender); e != nil && e.value != several {
		return j.texts.get(e.text)
	}
	return nil
}

func (x *folds) entry(j *Judge, sender []byte) *entry {
	x.buf = appendLower(x.buf[:0], sender)
	return x.index.find(xxhash.Sum64(x.buf), func(e *entry) bool { return sameButForCase(j.texts.get(e.text), sender) })
}

// unwrapSender returns the address that a relay has put into another one, so that notifications come back by way of it or are known as
// answers to its own mail: by the Sender Rewriting Scheme, SRS0=hash=time=domain=local@relay and SRS1=hash=relay==hash=time=domain=local@relay,
// where + and - may stand for the first =; or by a signature (BATV), prvs=tag=local@domain, prvs=local/tag@domain or btv1==tag==local@domain.
// The address is in canonical form; what is found isn't.
func unwrapSender(address []byte) ([]byte, bool) {
	local, domain := address[:len(address)-len(smtp.DomainOf(address))], smtp.DomainOf(address)
	local = bytes.TrimSuffix(local, []byte("@"))
	quote := []byte(nil)
	if n := len(local); n > 2 && local[0] == '"' {
		quote, local = local[:1], local[1:n-1]
	}
	at := func(local []byte) []byte { return slices.Concat(quote, local, quote, []byte("@"), domain) }
	if len(local) < len("SRS0=") {
		return nil, false
	}
	switch head := string(appendLower(nil, local[:len("SRS0=")])); head {
	case "srs0=", "srs0+", "srs0-":
		return unwrapSRS0(local[len(head):])
	case "srs1=", "srs1+", "srs1-":
		_, rest, _ := bytes.Cut(local[len(head):], []byte("=")) // the hash
		_, rest, ok := bytes.Cut(rest, []byte("="))             // the relay before
		if !ok || len(rest) == 0 {
			return nil, false
		}
		return unwrapSRS0(rest[1:])
	case "prvs=":
		rest := local[len(head):]
		if inner, _, ok := bytes.Cut(rest, []byte("/")); ok && bytes.IndexByte(rest, '=') < 0 {
			return at(inner), len(inner) > 0
		}
		_, inner, ok := bytes.Cut(rest, []byte("="))
		return at(inner), ok && len(inner) > 0
	case "btv1=":
		_, inner, ok := bytes.Cut(bytes.TrimPrefix(local[len(head):], []byte("=")), []byte("=="))
		return at(inner), ok && len(inner) > 0
	}
	return nil, false
}

// unwrapSRS0 takes hash=time=domain=local.
func unwrapSRS0(text []byte) ([]byte, bool) {
	parts := bytes.SplitN(text, []byte("="), 4)
	if len(parts) < 4 || len(parts[2]) == 0 || len(parts[3]) == 0 {
		return nil, false
	}
	return bytes.Join([][]byte{parts[3], parts[2]}, []byte("@")), true
}
