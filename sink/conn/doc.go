// Package conn carries the connections of a sink: it drives a session per connection, does what the session's effects say, and passes on what the
// session tells, in this order.
//
// There are two drivers. The one on epoll (Linux) runs event loops of package reactor, and hands connections that want TLS over to the other, which has a
// goroutine per connection and runs everywhere. What they share is the pump, in pump.go: it asks the kernel what became of replies where the session
// can't know, and lets rows go before the replies that they are about. The drivers are tested for parity, byte for byte, by package sink.
//
// It leaves out which addresses are listened on and when, plans and their swaps, certificates, and what the ledger and the directory of notifications
// do with what they are given: package sink has those.
package conn
