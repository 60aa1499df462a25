// Package session is the SMTP server as a state machine without I/O: bytes and the time go in, effects come out.
//
// A driver owns the connection. It calls New when a client has connected, Feed with what it read, Advance when Deadline has come,
// EOF, Closed, Drained, TLSDone, Committed and Shutdown when these things happen; and after each of these calls it calls Next until
// that returns false, and does what the effects say. A Session belongs to one goroutine at a time. It starts no goroutine, reads no
// clock and touches neither network nor file; what connections share comes in through the small interfaces of Env.
//
// What is decided, and in which order, at each occurrence of a stage: a protocol error (RFC 5321 and the extensions that the
// EHLO reply announces), the limits of the plan, what a tester asks for by the recipient's address or the message's header, the rules
// of the plan, the plain reply of the stage. The reply that was sent, whoever decided it, determines the state afterwards: 2xx goes
// on, any 3yz opens the body, 421 closes. The outcome's faults edit what happens: the reply is never sent, comes in pieces or in
// broken syntax; the connection is closed, half-closed, reset or held; the message counts as something else than the client is told.
//
// A reply that waits, for its time or for its rows on disk, stops the parsing: replies never overtake each other, memory stays
// constant, and TCP pushes back. Bodies are scanned in place; of the header, 64 KiB are captured when the plan or the configuration
// needs them. A session at rest owns no buffer: partial lines, output, transactions, scratch space and all rare state come from pools
// and go back to them.
//
// STARTTLS (RFC 3207) and AUTH (RFC 4954) are the session's as far as they are dialogue: the driver does the handshake, and an
// Authenticator knows the mechanisms. Where they are not offered, they are refused unless a rule writes out a reply.
//
// It leaves out listeners and what is wrong with them as a whole, the counts that connections share, certificates and the ledger's
// file.
package session
