// Package queue is a retry queue without I/O: which message is due when, how long after a deferral it is tried again, when it has
// expired, and how many deliveries to one destination run at a time. The time is passed in, and jitter is drawn from a seed, so that a
// queue under virtual time and one that serves a relay behave alike and can be replayed.
//
// It leaves out messages, recipients, replies and sockets: an entry is a number, and whoever owns the queue says what became of it.
package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Policy says when an entry that was deferred is tried again.
type Policy struct {
	// First is the delay after the first deferral; after each further one it is Factor times as long as before, up to Max.
	First  time.Duration
	Factor float64
	Max    time.Duration
	// Jitter is the share of a delay by which it is drawn shorter or longer: 0 to 1. A delay stays between Minimal and Max.
	Jitter  float64
	Minimal time.Duration
	// Lifetime is how long after its arrival an entry is still deferred; the first deferral after that expires it.
	Lifetime time.Duration
	// Concurrency is how many entries of one destination are active at a time.
	Concurrency int
}

// Validate returns an error that names the field that is wrong.
func (p *Policy) Validate() error {
	for _, rule := range [...]struct {
		holds bool
		text  string
	}{
		{p.First > 0, "First must be above 0"},
		{p.Factor >= 1 && !math.IsInf(p.Factor, 1), "Factor must be at least 1"},
		{p.Max >= p.First, "Max must be at least First"},
		{p.Jitter >= 0 && p.Jitter <= 1, "Jitter must be from 0 to 1"},
		{p.Minimal >= 0 && p.Minimal <= p.Max, "Minimal must be from 0 to Max"},
		{p.Lifetime > 0, "Lifetime must be above 0"},
		{p.Concurrency > 0, "Concurrency must be above 0"},
	} {
		if !rule.holds {
			return fmt.Errorf("retry policy: %s", rule.text)
		}
	}
	return nil
}

// Delay returns how long after its n-th deferral, counted from 1, the entry is tried again.
func (p *Policy) Delay(seed, id uint64, n int) time.Duration {
	d := min(float64(p.First)*math.Pow(p.Factor, float64(n-1)), float64(p.Max))
	if p.Jitter > 0 {
		d *= 1 + p.Jitter*(2*draw(seed, id, n)-1)
	}
	return max(p.Minimal, min(p.Max, time.Duration(math.Round(d))))
}

// draw returns a number from 0 to below 1 that belongs to the n-th deferral of the entry.
func draw(seed, id uint64, n int) float64 {
	var key [24]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], id)
	binary.LittleEndian.PutUint64(key[16:], uint64(n)) // #nosec G115 -- a hash
	return float64(xxhash.Sum64(key[:])>>11) / (1 << 53)
}
