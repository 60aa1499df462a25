// Package workload draws what a load of mail consists of: when messages arrive, how large they are, and how many recipients each has.
//
// Arrivals are a Poisson process: the gaps between them are exponential, and nobody who sends knows of the others. It is cut into slots that last as long
// as a message has on the average, so that k6's own arrival-rate executor, which starts a slot at a time whatever has become of the last one, keeps the load open:
// a slot has no message, one or several, each at its own moment within. What a slot holds follows from the seed and its number alone.
//
// It reads no clock, and knows neither k6 nor SMTP.
package workload

import "math/rand/v2"

// Workload draws messages. It is immutable, and safe for concurrent use.
type Workload struct {
	Seed              uint64
	Sizes, Recipients *Table
}

// Message is one arrival.
type Message struct {
	// At is when it comes, in slots since its slot began: in [0, 1).
	At         float64
	Size       int // octets
	Recipients int
}

// Slot returns the messages of a slot in the order in which they come; their number is Poisson with mean 1.
func (w *Workload) Slot(n uint64) []Message {
	r := rand.New(rand.NewPCG(w.Seed, n)) // #nosec G404 -- a load that must repeat
	var out []Message
	// The process has no memory: the first gap of a slot may begin with it.
	for at := r.ExpFloat64(); at < 1; at += r.ExpFloat64() {
		out = append(out, Message{At: at, Size: w.Sizes.at(r.Float64()), Recipients: w.Recipients.at(r.Float64())})
	}
	return out
}
