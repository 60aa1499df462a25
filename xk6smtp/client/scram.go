package client

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"github.com/xdg-go/scram"
)

// maxScramKeys is for how many salts and counts of iterations derived keys are kept. A server has one for each user; one that makes up a new
// one for every connection must not fill the memory.
const maxScramKeys = 64

// scramKeys are a user's credentials for SCRAM with the keys that were derived from them, which cost thousands of hashes each. They may be shared by any
// number of connections.
type scramKeys struct {
	user, password string

	mu     sync.Mutex
	client *scram.Client       // keeps the keys for ever
	known  map[string]struct{} // what it has keys for
}

// newScramKeys fails if SASLprep (RFC 4013) forbids the user or the password.
func newScramKeys(user, password string) (*scramKeys, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	return &scramKeys{user: user, password: password, client: client, known: make(map[string]struct{})}, err
}

func (k *scramKeys) conversation() *scram.ClientConversation {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client.NewConversation()
}

// note is given a server's first message before it is answered: its salt and its count of iterations stand behind the nonce (RFC 5802 section 5). When
// there have been too many, later conversations begin with no keys.
func (k *scramKeys) note(challenge []byte) {
	_, factors, ok := bytes.Cut(challenge, []byte(","))
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.known[string(factors)]; ok {
		return
	}
	if len(k.known) >= maxScramKeys {
		client, err := scram.SHA256.NewClient(k.user, k.password, "")
		if err != nil { // it was allowed before
			return
		}
		k.client = client
		clear(k.known)
	}
	k.known[string(factors)] = struct{}{}
}

const (
	// maxIterations is the most rounds of hashing that a server may ask for: more than anybody recommends (RFC 7677 has 4096, OWASP
	// 600,000), and less than a second on anything that runs k6.
	maxIterations = 1_000_000
	// fewIterations are over before anything could interrupt them.
	fewIterations = 20_000
)

// scramIterations is the count in a SCRAM server's first message (RFC 5802 section 5.1), 0 if there is none.
func scramIterations(challenge []byte) int {
	for attribute := range strings.SplitSeq(string(challenge), ",") {
		if digits, ok := strings.CutPrefix(attribute, "i="); ok {
			if n, err := strconv.ParseUint(digits, 10, 31); err == nil {
				return int(n) // #nosec G115 -- ParseUint bounds it by 31 bits
			}
			return maxIterations + 1 // too long for a number, or none: not worth a try
		}
	}
	return 0
}
