package conn

// rooms bounds the connections that are there at the same time, whatever carries them: an element of the channel for each. A nil one
// bounds nothing.
type rooms chan struct{}

func newRooms(most int) rooms {
	if most <= 0 {
		return nil
	}
	return make(rooms, most)
}

// Take reports whether there was room for one more connection, which has it now.
func (r rooms) Take() bool {
	if r == nil {
		return true
	}
	select {
	case r <- struct{}{}:
		return true
	default:
		return false
	}
}

// await waits for a room, and takes it, unless stop is closed before.
func (r rooms) await(stop <-chan struct{}) bool {
	if r == nil {
		return true
	}
	select {
	case r <- struct{}{}:
		return true
	case <-stop:
		return false
	}
}

// Leave gives a room back.
func (r rooms) Leave() {
	if r != nil {
		<-r
	}
}
