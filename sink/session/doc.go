// Package session is the SMTP server as a state machine without I/O: bytes and the time go in, effects come out.
//
// A driver owns the connection. It calls New when a client has connected, Feed with what it read, Advance when Deadline has come,
// EOF, Closed, Drained and Shutdown when these things happen; and after each of these calls it calls Next until that returns
// false, and does what the effects say. A Session belongs to one goroutine at a time. It starts no goroutine, reads no clock and
// touches neither network nor file; what connections share comes in through the small interfaces of Env.
//
// What is decided, and in which order, at each occurrence of a stage: a protocol error (RFC 5321 and the extensions that the
// EHLO reply announces), the rules of the plan, the plain reply of the stage. The reply that was sent, whoever decided it,
// determines the state afterwards: 2xx goes on, only 354 opens the body, 421 closes.
//
// A delayed reply stops the parsing until its time has come: replies never overtake each other, memory stays constant, and TCP
// pushes back. Bodies are scanned in place and never buffered. A session at rest owns no buffer: partial lines, output,
// transactions and scratch space come from pools and go back to them.
//
// It leaves out TLS and authentication, which are not announced: STARTTLS and AUTH are refused unless a rule forces a reply.
package session
