package storm

import (
	"testing"
	"time"
)

// TestPool: who was busy last submits the next message, so that few connections serve for many; what nobody has a hand free for waits its turn.
func TestPool(t *testing.T) {
	first, second := &submitter{next: make(chan submission, 1)}, &submitter{next: make(chan submission, 1)}
	p := pool{number: maxSubmitters}
	if !p.release(first) || !p.release(second) {
		t.Fatal("submitters were sent away before the end")
	}
	for n := range 4 {
		p.submit(t.Context(), submission{n: n})
	}
	given := func(w *submitter) int {
		select {
		case m := <-w.next:
			return m.n
		default:
			return -1
		}
	}
	if a, b := given(second), given(first); a != 0 || b != 1 || len(p.waiting) != 2 {
		t.Errorf("message 0 to the one that was busy last, 1 to the other, two wait: got %d, %d, %d wait", a, b, len(p.waiting))
	}
	p.closing = true // what waits is submitted all the same
	if !p.release(first) || !p.release(second) {
		t.Error("submitters were sent away while messages waited")
	}
	if a, b := given(first), given(second); a != 2 || b != 3 {
		t.Errorf("got messages %d and %d, want 2 and 3, in the order in which they waited", a, b)
	}
	if p.release(first) {
		t.Error("a submitter is kept that has nothing left to do")
	}
}

// TestTimetable: a tenth before the storm, a tenth from its end on, at the rate.
func TestTimetable(t *testing.T) {
	due, begin := timetable(20, 10, 30*time.Second)
	if len(due) != 20 || begin != 2200*time.Millisecond || due[1] != 100*time.Millisecond || due[2] != begin || due[17] != begin+1500*time.Millisecond || due[18] != begin+30*time.Second {
		t.Errorf("the storm begins at %v, messages are due at %v", begin, due)
	}
}
