package xk6smtp

import "sync"

// task is something that a queue does.
type task interface{ do() }

// queue does tasks one after the other in the order in which they were added, on a goroutine that exists only while there is
// something to do. The zero value is ready.
type queue struct {
	mu      sync.Mutex
	waiting []task // from head on
	head    int
	running bool
}

func (q *queue) add(t task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, t)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *queue) run() {
	for {
		t := q.next()
		if t == nil {
			return
		}
		t.do()
	}
}

// next takes the first task, or ends the goroutine's life.
func (q *queue) next() task {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.waiting) {
		q.waiting, q.head, q.running = q.waiting[:0], 0, false
		return nil
	}
	t := q.waiting[q.head]
	q.waiting[q.head] = nil
	q.head++
	return t
}
