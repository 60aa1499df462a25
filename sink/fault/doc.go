// Package fault decides what the sink answers and how it misbehaves: it holds the stage tables, the mode tables, rules, faults, limits,
// phases, plans, and the draw.
//
// A Plan is an immutable set of listeners, limits, rules and phases. A View is the plan at a time: its own rules and limits, then
// those of the phase in force. Each Rule names a stage, a match and weighted outcomes; View.Decide takes what is known at one stage
// occurrence and returns the Decision of the first rule that matches, or the plain reply. An Outcome is a reply, a delay and Faults:
// edits of what happens, never of a socket. A Limit says what is counted, and whom it is for; a Switch is what a tester asks for by an
// address or a header. Every choice among outcomes is a hash of (seed, key, stage, purpose): never a shared generator and never a
// clock, so that two clients meet the same outcomes whatever their concurrency (see Draw).
//
// Plans come from a PlanSpec, which command-line flags (CompileFlags) and plan files (package plan) both produce.
//
// The package is pure: it does no I/O, reads no clock, starts no goroutine and keeps no mutable state. It leaves out what a
// session does with a reply and a fault (package session), what connections share, from attempts to token buckets (package state),
// and the file format (package plan).
package fault
