package capture

import (
	"encoding/json"
	"slices"
)

// look makes the writer look at the queue.
func (s *Store) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it will
	}
}

// write writes what comes until Close.
func (s *Store) write() {
	defer close(s.done)
	failed := false
	for {
		s.mu.Lock()
		closing := s.closing
		var next *entry
		if len(s.queue) > 0 {
			next, s.queue[0] = s.queue[0], nil
			s.queue = s.queue[1:]
		}
		unwanted := s.unwanted
		s.unwanted = nil
		s.mu.Unlock()
		for _, number := range unwanted {
			s.files.remove(number)
		}
		if len(unwanted) > 0 && next == nil {
			continue
		}
		if next == nil {
			if closing {
				return
			}
			<-s.wake
			continue
		}
		err := s.store(next)
		if err != nil && !failed && s.failing != nil {
			s.failing(err)
		}
		failed = err != nil
	}
}

// store puts a message into files, unless nobody wants it any more.
func (s *Store) store(e *entry) error {
	known, err := json.Marshal(&e.Message)
	if err != nil { // of strings and numbers
		return err
	}
	size := int64(len(known) + len(e.octets))
	s.mu.Lock()
	gone := e.gone
	if !gone {
		s.makeRoomBefore(e, size)
		gone = e.gone // it was too large itself
	}
	s.mu.Unlock()
	number := 0
	if !gone {
		number, err = s.files.keep(e.octets, known)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used.Add(-e.taken)
	e.octets = nil
	switch {
	case err != nil:
		s.stats.Failed++
		s.stats.Error = err.Error()
		if !e.gone {
			s.drop(e)
			s.entries = slices.DeleteFunc(s.entries, func(other *entry) bool { return other == e })
		}
	case number > 0 && e.gone: // meanwhile
		s.unwanted = append(s.unwanted, number)
	case number > 0:
		e.number, e.size = number, size
		s.size += size
	}
	return err
}

// makeRoomBefore lets older messages go until there is room for the files of e. s.mu is held.
func (s *Store) makeRoomBefore(e *entry, size int64) {
	for s.size+size > s.octets && !e.gone {
		s.dropOldest()
	}
}
