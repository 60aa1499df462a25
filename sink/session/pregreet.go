package session

import "github.com/smtpstorm/xk6-smtp/sink/smtp"

// watchesGreeting reports whether anybody wants to know that the client talks while its greeting is held back (stage pregreet). Where nobody
// does, such octets just wait for the greeting.
func (s *Session) watchesGreeting() bool {
	return !s.view.Silent(smtp.StagePregreet) || s.view.Reactions(smtp.StagePregreet) != nil || s.env.Next.Waits(smtp.StagePregreet)
}

// holdGreeting holds back the greeting that was decided, for as long as its decision says.
func (s *Session) holdGreeting() {
	w := waitDelay
	if s.watchesGreeting() {
		w = waitPregreet
	}
	s.waitFor(w, s.exchange.decision.Delay)
}

// pregreet decides about a client that talks while its greeting is held back: RFC 5321 section 4.3.1 has it wait. What is decided takes the
// greeting's place, and is followed as the greeting would be; that greeting was decided, and is never sent. Where nobody speaks, or a rule
// exempts the client, the greeting comes when it is due. What the client said is read as commands afterwards.
func (s *Session) pregreet() {
	e := s.exchange
	greeting, plain, nth := e.decision, e.plain, e.nth
	s.lasting().pregreet = true
	s.decide(smtp.StagePregreet)
	if c := e.decision.Chosen; e.plain && e.decision.Delay == 0 && (c == nil || !c.Faulty && !c.Written) {
		e.decision, e.plain, e.nth = greeting, plain, nth
		s.pause.begin(waitDelay)
		return
	}
	s.pause.end()
	s.deliver(smtp.StagePregreet)
}
