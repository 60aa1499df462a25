// Package canned is the baseline that the sink's speed is measured against: a
// bare epoll loop that answers an SMTP client with fixed replies. It is as fast
// as Go honestly allows, and does nothing beyond finding line ends, the verbs
// DATA and QUIT by their first letter, and the dot that ends a message.
//
// What it leaves out, and the sink has to do: parsing and checking commands,
// sequence errors, parameters, multi-line replies, limits on lines, recipients and sizes,
// looking for bare LF, timeouts, delays and faults, output that a slow client
// doesn't take (the connection is closed), lingering closes, more than one loop, counters
// beyond messages, IPv6 scopes, and running out of descriptors with grace
// (it spins then). It is for benchmarks on loopback only, and on Linux only.
package canned
