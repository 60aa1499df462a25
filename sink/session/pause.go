package session

// wait is what keeps the session from taking input.
type wait uint8

const (
	waitNone     wait = iota
	waitDelay         // a decided reply waits for its time
	waitFarewell      // the reply to QUIT waits for the client's FIN, see Config.Farewell
	waitPiece         // the next piece of a reply waits for its time
	waitPassage       // input waits until it has passed a slow link
	waitTaken         // it waits for the kernel to take the piece before
	waitCommit        // a positive reply waits for its rows
	waitCapture       // a reply waits for its message to be captured
	waitGreeting      // the greeting waits for a TLS handshake; input is taken, and thrown away
	waitPregreet      // the greeting waits for its time; input shows a client that doesn't wait for it
	waitDrain         // too much output: the client shall take some
	waitReading       // a fault has stopped reading in mid-body
)

// pause is what keeps the session from taking input, and what the driver knows of it. When it is over at the latest, Session.due says.
//
//	wait                              the driver is told to              it ends (end) when
//	waitNone, waitGreeting            read
//	waitPregreet                      read                               its time has come, or the client talks
//	waitDelay, waitFarewell           pause                              its time has come; waitFarewell, when the client's FIN has
//	waitPiece, waitPassage            pause                              its time has come
//	waitTaken, waitDrain              pause, and wait for the output     the driver calls Drained
//	                                  to be taken
//	waitCommit, waitCapture           pause, and write                   the driver calls Committed, or its time has come
//	waitReading                       stop reading                       its time has come
type pause struct {
	wait    wait
	asked   bool // the driver knows what else the session waits for
	reading reading
}

// reading is what the driver knows of reading.
type reading uint8

const (
	readingOn reading = iota
	readingPaused
	readingStopped
)

// begin begins to wait, or to wait for something else.
func (p *pause) begin(w wait) { p.wait, p.asked = w, false }

// end ends the wait.
func (p *pause) end() { p.wait = waitNone }

// paused reports whether no input is taken.
func (p *pause) paused() bool {
	return p.wait != waitNone && p.wait != waitGreeting && p.wait != waitPregreet
}

// quiet reports whether there is nothing to tell the driver, as nearly always.
func (p *pause) quiet() bool { return p.wait == waitNone && p.reading == readingOn }

// read tells the driver whether to read, once when that has changed.
func (p *pause) read() (EffectKind, bool) {
	reading, kind := readingOn, EffectResume
	switch {
	case p.wait == waitReading:
		reading, kind = readingStopped, EffectStopReading
	case p.paused():
		reading, kind = readingPaused, EffectPause
	}
	changed := reading != p.reading
	p.reading = reading
	return kind, changed
}

// ask tells the driver once what else the session waits for.
func (p *pause) ask() (EffectKind, bool) {
	if p.asked {
		return 0, false
	}
	kind := EffectKind(0)
	switch p.wait {
	case waitDrain, waitTaken:
		kind = EffectAwaitDrain
	case waitCommit:
		kind = EffectCommit
	case waitCapture:
		kind = EffectCapture
	}
	p.asked = kind != 0
	return kind, p.asked
}
