package session

// Held returns how many octets of buffers the session owns.
func (s *Session) Held() int {
	n := 0
	if s.out != nil {
		n += cap(s.out.B)
	}
	if s.line != nil {
		n += cap(s.line.B)
	}
	if s.tx != nil {
		n += cap(s.tx.arena)
	}
	return n
}

// AtRest reports whether the session owns nothing that an idle connection should not pay for.
func (s *Session) AtRest() bool {
	return s.out == nil && s.line == nil && s.tx == nil && s.work == nil
}
