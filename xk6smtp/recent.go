package xk6smtp

// maxRecent is how many sendings are remembered while a sink runs: the latest ones.
const maxRecent = 200_000

// recent is a map that forgets what was put into it first once it is full. The zero value is not ready.
type recent[V any] struct {
	values map[string]V
	order  []string // a ring once it is full
	oldest int
}

func newRecent[V any]() *recent[V] { return &recent[V]{values: make(map[string]V)} }

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) put(key string, value V) {
	if _, ok := r.values[key]; !ok {
		if len(r.order) < maxRecent {
			r.order = append(r.order, key)
		} else {
			delete(r.values, r.order[r.oldest])
			r.order[r.oldest] = key
			r.oldest = (r.oldest + 1) % maxRecent
		}
	}
	r.values[key] = value
}
