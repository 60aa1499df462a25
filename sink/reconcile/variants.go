package reconcile

import "github.com/cespare/xxhash/v2"

// variants are messages that share a token although they are not the same, as when an application gives the sender of all its mail for one:
// by hashes of token, X-Storm-Id and body. The first message with a shared token is there by the token alone.
type variants map[uint64]int32

// variant returns the message with the token that the claim is about, or none: m if the token is that message's alone.
func (j *Judge) variant(c *Claim, token []byte, m int32) int32 {
	first := m
	if m == several {
		first = j.variants[xxhash.Sum64(token)]
	}
	if first < 0 || !j.messages.at(first).differs(c) {
		return first
	}
	if j.variants == nil {
		j.variants = variants{}
	}
	j.variants[xxhash.Sum64(token)] = first
	if other, ok := j.variants[variantHash(c, token)]; ok {
		return other
	}
	return none
}

// keep notes another message with a token that is shared.
func (v variants) keep(c *Claim, token []byte, m int32) {
	if _, shared := v[xxhash.Sum64(token)]; shared {
		v[variantHash(c, token)] = m
	}
}

// differs reports whether the claim can't be about the message: X-Storm-Id or body is another. A Message-ID may be made anew when a message is
// sent again.
func (m *message) differs(c *Claim) bool {
	return c.StormID != "" && m.flags&hasStormID != 0 && m.storm != stormHash(c) || c.Hashed && m.flags&hashed != 0 && (c.Body != m.body || c.Size != m.size && c.Size != 0 && m.size != 0)
}

func stormHash(c *Claim) uint32 { return uint32(xxhash.Sum64(appendID(nil, []byte(c.StormID)))) } // #nosec G115 -- a hash

func variantHash(c *Claim, token []byte) uint64 {
	h := xxhash.Sum64(token)
	if c.StormID != "" {
		h = mix(h ^ uint64(stormHash(c)))
	}
	if c.Hashed {
		h = mix(h ^ c.Body)
	}
	return mix(h + 1)
}
