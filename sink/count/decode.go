package count

import (
	"encoding/json"
	"fmt"
)

// Most is the most that a count read from a file may be: more than any sink counts, and little enough that sums of thousands of them don't
// wrap, and that a float64 holds it exactly.
const Most = 1 << 53

// VersionError says that counts are of a version that this program can't read.
type VersionError struct{ Got int }

// Error names the version and those that can be read.
func (e *VersionError) Error() string {
	return fmt.Sprintf("counters of version %d (this program reads versions 1 to %d)", e.Got, Version)
}

// Decode reads counts from JSON, of version 1 too, which had no number at first. Unknown keys are ignored. Another version is a
// *VersionError; counts that no sink can have counted are an error.
func Decode(text []byte) (*Counts, error) {
	var head struct{ Version int }
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	c := New()
	switch head.Version {
	case Version:
		if err := json.Unmarshal(text, c); err != nil {
			return nil, err
		}
	case 0, 1:
		var old version1
		if err := json.Unmarshal(text, &old); err != nil {
			return nil, err
		}
		c = old.counts()
	default:
		return nil, &VersionError{head.Version}
	}
	return c, c.plausible()
}

// plausible refuses what no sink can have counted.
func (c *Counts) plausible() error {
	counts := []uint64{c.Connections, c.Transactions, c.Messages, c.Recipients, c.BytesIn, c.BytesOut}
	for _, r := range c.Replies {
		counts = append(counts, r.Decided, r.Sent, r.Unread)
	}
	for _, r := range c.Rules {
		counts = append(counts, r.Occurrences, r.DistinctKeys)
		for _, o := range r.Outcomes {
			counts = append(counts, o.Injected, o.Distinct)
		}
	}
	for _, w := range c.Windows {
		for _, r := range w.Replies {
			counts = append(counts, r.Count)
		}
	}
	var late uint64
	if c.Lateness != nil {
		counts = append(counts, c.Lateness.Count)
		for _, b := range c.Lateness.Buckets {
			counts = append(counts, b.Count)
			late += b.Count
		}
	}
	for _, n := range counts {
		if n > Most {
			return fmt.Errorf("the count %d is more than any sink counts", n)
		}
	}
	if late > 0 && late != c.Lateness.Count {
		return fmt.Errorf("the lateness of %d replies is in buckets that hold %d", c.Lateness.Count, late)
	}
	return nil
}

// version1 is what sinks wrote before: the replies of all phases together, those of each phase once more, and what was in flight apart.
type version1 struct {
	Counts
	Replies []reply1 `json:"replies"`
	Phases  []struct {
		Name    string   `json:"name"`
		Replies []reply1 `json:"replies"`
	} `json:"phases"`
	InFlight []struct {
		Kind
		Unwritten      uint64 `json:"unwritten"`
		Unread         uint64 `json:"unread"`
		Unacknowledged uint64 `json:"unacknowledged"` // Unread's name in run records
	} `json:"in_flight"`
}

type reply1 struct {
	Kind
	Count uint64 `json:"count"`
}

func (old *version1) counts() *Counts {
	c := &old.Counts
	c.Schema, c.Version = Schema, Version
	at := map[Kind]int{} // what can be seen of a kind and its cause -> row
	add := func(k Kind) *Reply {
		i, known := at[k]
		if !known {
			i = len(c.Replies)
			at[k] = i
			c.Replies = append(c.Replies, Reply{Kind: k})
		}
		return &c.Replies[i]
	}
	for _, r := range old.Replies {
		row := add(r.Kind)
		row.Decided += r.Count
	}
	for _, p := range old.Phases {
		c.Phases = append(c.Phases, p.Name)
		for _, r := range p.Replies {
			if all := add(r.Kind); all.Decided >= r.Count {
				all.Decided -= r.Count
				r.Phase = p.Name
				add(r.Kind).Decided += r.Count
			}
		}
	}
	for i := range c.Replies {
		c.Replies[i].Sent = c.Replies[i].Decided
	}
	for _, f := range old.InFlight {
		unsent, unread := f.Unwritten, max(f.Unread, f.Unacknowledged)
		for i := range c.Replies {
			if r := &c.Replies[i]; r.OnTheWire() == f.OnTheWire() {
				n := min(unsent, r.Sent)
				r.Sent, unsent = r.Sent-n, unsent-n
				n = min(unread, r.Sent)
				r.Unread, unread = r.Unread+n, unread-n
			}
		}
	}
	for _, r := range c.Rules {
		for _, o := range r.Outcomes {
			if o.Code != 0 {
				k := Kind{Stage: r.Stage, Code: o.Code, Enhanced: o.Enhanced, Cause: CauseRule + r.Name}
				c.plan(k, o.Probability*float64(r.Occurrences))
			}
		}
	}
	c.Replies = By(c.Replies, func(k Kind) Kind { return k })
	return c
}

// plan shares out how many replies were planned, over the phases in which there were any.
func (c *Counts) plan(k Kind, n float64) {
	var decided uint64
	in := func(r *Reply) bool {
		phase := k
		phase.Phase = r.Phase
		return r.Kind == phase
	}
	for i := range c.Replies {
		if r := &c.Replies[i]; in(r) {
			decided += r.Decided
		}
	}
	if decided == 0 {
		c.Replies = append(c.Replies, Reply{Kind: k, Planned: n})
		return
	}
	for i := range c.Replies {
		if r := &c.Replies[i]; in(r) {
			r.Planned += n * float64(r.Decided) / float64(decided)
		}
	}
}
