// Package mta runs private instances of real mail transfer agents, so that a benchmark can put one between a load generator and
// the sink.
//
// An Agent takes mail on a loopback port and relays all of it to one next hop. Configuration, queue and logs lie in one private
// directory: it neither reads nor writes what belongs to a system's own service. What makes one MTA differ from another is an
// adapter, one file each; the registry in adapter.go has them all, and nothing else names one. The suite that every adapter passes is
// package mtatest.
//
// Processes are known by the directory, which they carry in their environment. When this program is killed, the kernel ends the main one
// if it can (Linux; Postfix's master changes its user, and so escapes), and a watchdog of package supervise ends them all.
//
// It leaves out feeding: whoever drives an agent speaks SMTP to Addr. It judges nothing either: queue and log are told in the
// vocabulary of package reconcile, which does.
package mta
