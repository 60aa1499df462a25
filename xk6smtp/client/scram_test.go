package client

import (
	"fmt"
	"testing"
)

// TestKeysOfManySaltsAreForgotten has a server make up a salt for every connection.
func TestKeysOfManySaltsAreForgotten(t *testing.T) {
	keys, err := newScramKeys("ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	first := keys.client
	for i := range 10 * maxScramKeys {
		keys.note(fmt.Appendf(nil, "r=nonce%d,s=c2FsdA%03d,i=1", i, i))
		if len(keys.known) > maxScramKeys {
			t.Fatalf("keys of %d salts are kept", len(keys.known))
		}
	}
	if keys.client == first {
		t.Error("their client is still the same, and keeps them all")
	}
	keys.note([]byte("r=nonce,s=c2FsdA==,i=4096"))
	second := keys.client
	for i := range 10 * maxScramKeys {
		keys.note(fmt.Appendf(nil, "r=nonce%d,s=c2FsdA==,i=4096", i))
	}
	keys.note([]byte("no nonce"))
	if keys.client != second || len(keys.known) > maxScramKeys {
		t.Error("one salt is taken for many")
	}
}
