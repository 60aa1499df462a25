// Command benchpeers measures the sink side by side with other SMTP sinks: Postfix's smtp-sink, the canned loop, gnet with the
// canned loop's replies, aiosmtpd and go-smtp, each in a process of its own, in interleaved rounds under the same load. Try
// benchpeers --help.
//
// What is compared is the CPU time of the server's process (user and system, to the nanosecond), since client and server share a
// machine: wall time tells how fast the pair was, and which of the two was the limit. Ratios are taken within a round and
// reported as their median with a distribution-free 95% interval (golang.org/x/perf/benchmath).
//
// It leaves out peers on other machines, TLS, and everything but Linux on loopback.
package main
