package xk6smtp

import "sync"

// queue runs functions one after the other in the order in which they were added, on a goroutine that exists only while there
// is something to run. The zero value is ready.
type queue struct {
	mu      sync.Mutex
	waiting []func() // from head on
	head    int
	running bool
}

func (q *queue) add(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *queue) run() {
	for {
		f := q.next()
		if f == nil {
			return
		}
		f()
	}
}

// next takes the first function, or ends the goroutine's life.
func (q *queue) next() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.waiting) {
		q.waiting, q.head, q.running = q.waiting[:0], 0, false
		return nil
	}
	f := q.waiting[q.head]
	q.waiting[q.head] = nil
	q.head++
	return f
}
