// Package sink is the fault-injecting SMTP server that an embedder imports: it listens, drives a session per connection, and
// counts what it did.
//
//	plan, err := fault.NewPlan(spec)
//	server, err := sink.New(sink.Config{Listeners: []sink.Listener{{Address: "127.0.0.1:0"}}, Plan: plan})
//	err = server.Start()
//	defer server.Close()
//	... server.Addr("") ... server.Stats() ... server.Swap(another, "") ...
//
// Two drivers of package conn carry the same sessions: epoll loops (Linux) and a goroutine per connection (everywhere).
//
// A plan in force has the clock of its storm, which a swap hands on (activePlan); its phases close, shut and silence listeners
// (listeners). Limits and attempt counters are shared by all connections (package state). Rows go to a ledger before the replies that
// they are about (ledger.go).
//
// What is asked for while the sink runs is a method of Server: another plan (Replace, Swap), the clock of the storm (MoveStorm), the outcome
// of the next occurrences (AddNext), counts since a moment (Reset, Snapshot). A Tail lets others read the rows as they come.
//
// Left out: the dialogue (package session), what is answered (packages decide and fault), plan files (package plan), the ledger's format
// (package ledger), and the keeping of messages (package capture): without it they are scanned and thrown away.
package sink
