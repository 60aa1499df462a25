package count

// Reaction is what a reaction of the plan in force has led to. All but Key count from when it came into force: a plan that has it, too, goes on
// with it.
type Reaction struct {
	Name      string `json:"name"`
	Key       string `json:"key"`                 // whose standings they are, as plans write it
	Begun     uint64 `json:"begun"`               // standings that have begun
	Keys      uint64 `json:"keys"`                // different keys that had one
	Highest   uint64 `json:"highest,omitempty"`   // level that any has reached
	Returns   uint64 `json:"returns,omitempty"`   // occurrences that came while a standing held, at stages where it matters
	Returned  uint64 `json:"returned,omitempty"`  // standings during which any came
	Evictions uint64 `json:"evictions,omitempty"` // keys that were forgotten with what was known, because there was no room
}

func (r *Reaction) combine(o *Reaction, k uint64) {
	r.Begun += k * o.Begun
	r.Keys += k * o.Keys
	r.Highest = max(r.Highest, o.Highest)
	r.Returns += k * o.Returns
	r.Returned += k * o.Returned
	r.Evictions += k * o.Evictions
}
