package xk6smtp

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	runLength      = 8
	sequenceLength = 9
	tokenLength    = runLength + 1 + sequenceLength
)

// tokens names sendings: run, a dash, and a number in base 36, of fixed length so that a message keeps its size. Two k6
// processes share a run's name with a probability of 2^-40.
type tokens struct {
	run  string
	last atomic.Uint64
}

func newTokens() *tokens {
	var seed [5]byte
	// crypto/rand never fails: it ends the program instead.
	_, _ = rand.Read(seed[:])
	return &tokens{run: strings.ToLower(base32.StdEncoding.EncodeToString(seed[:]))}
}

func (t *tokens) next() string {
	var buf [tokenLength]byte
	copy(buf[:], t.run)
	for i := runLength; i < tokenLength; i++ {
		buf[i] = '0'
	}
	buf[runLength] = '-'
	var digits [13]byte // 2^64 in base 36
	n := strconv.AppendUint(digits[:0], t.last.Add(1), 36)
	copy(buf[tokenLength-len(n):], n)
	return string(buf[:])
}
