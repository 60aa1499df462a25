package reactor

// timerHeap is a 4-ary heap of deadlines, the earliest first. A connection
// whose deadline moves later, or is cancelled, keeps its slot until the old
// deadline comes up: re-arming an idle timeout on every command then costs
// nothing. The order of equal deadlines is not defined.
type timerHeap []timerSlot

// timerSlot holds a connection in the heap; when is never later than the
// connection's deadline, if it has one.
type timerSlot struct {
	when int64
	c    *Conn
}

// moved notes the index of the connection's slot.
func (c *Conn) moved(i int) {
	c.slot = int32(i + 1) // #nosec G115 -- a slot per connection: fewer than descriptors, which are of 31 bits
}

// set makes when the time at which c comes up, or earlier.
func (h *timerHeap) set(c *Conn, when int64) {
	if c.slot == 0 {
		*h = append(*h, timerSlot{when, c})
		c.moved(len(*h) - 1)
		h.up(len(*h) - 1)
		return
	}
	i := int(c.slot - 1)
	if when < (*h)[i].when {
		(*h)[i].when = when
		h.up(i)
	}
}

// postpone moves the first slot to a later time.
func (h *timerHeap) postpone(when int64) {
	(*h)[0].when = when
	h.down(0)
}

// remove takes c out of the heap.
func (h *timerHeap) remove(c *Conn) {
	if c.slot == 0 {
		return
	}
	s := *h
	i, last := int(c.slot-1), len(s)-1
	c.slot = 0
	if i != last {
		s[i] = s[last]
		s[i].c.moved(i)
	}
	s[last] = timerSlot{}
	*h = s[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
}

func (h *timerHeap) up(i int) {
	s := *h
	e := s[i]
	for i > 0 {
		parent := (i - 1) / 4
		if s[parent].when <= e.when {
			break
		}
		s[i] = s[parent]
		s[i].c.moved(i)
		i = parent
	}
	s[i] = e
	e.c.moved(i)
}

func (h *timerHeap) down(i int) {
	s := *h
	e := s[i]
	for {
		child := 4*i + 1
		if child >= len(s) {
			break
		}
		least := child
		for k := child + 1; k < min(child+4, len(s)); k++ {
			if s[k].when < s[least].when {
				least = k
			}
		}
		if s[least].when >= e.when {
			break
		}
		s[i] = s[least]
		s[i].c.moved(i)
		i = least
	}
	s[i] = e
	e.c.moved(i)
}
