// Package client is an SMTP client that times itself: every phase of the dialogue has its own clock, every reply that arrives
// is reported once, and every reply that was awaited and never came is reported once, so that a client's counts and a server's
// can be compared to the last reply.
//
// A Conn is one connection. It pipelines when the server offers it (RFC 2920), sends the body with dots stuffed and lines ended
// by CRLF (RFC 5321 section 4.5.2), and is closed, never reset or reused, after a timeout, an abort or a malformed reply.
// Negative replies are results, not errors; an *Error says that the dialogue itself broke.
//
// It leaves out queueing, retries, reconnecting and building MIME messages, and it knows nothing of k6: clock, dialer and
// observer are passed in. A Conn serves one goroutine at a time; only Close may be called from another.
package client
