// Package mta starts, watches and stops a private instance of a real mail transfer agent, so that a benchmark can put it
// between a load generator and the sink.
//
// An instance listens on a loopback port, relays every message to one next hop, and keeps its configuration, queue and logs
// under one private directory; it never reads or writes the configuration or the queue of the system's own service, and it
// is stopped by its own commands and process ids. Only Postfix is known so far.
//
// It leaves out feeding: whoever drives the instance speaks SMTP to Addr. It judges nothing either: what became of the
// messages is told by the sink behind it.
package mta
