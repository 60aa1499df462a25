// Package fault decides what the sink answers: it holds the stage tables, the mode tables, rules, plans, and the draw.
//
// A Plan is an immutable list of rules in file order. Each Rule names a stage, a match and weighted outcomes; Plan.Decide takes
// what is known at one stage occurrence and returns the Decision of the first rule that matches, or the plain reply. Every
// choice among outcomes is a hash of (seed, key, stage, purpose): never a shared generator and never a clock, so that two
// clients meet the same weather whatever their concurrency (see Draw).
//
// Plans come from a PlanSpec, which command-line flags (CompileFlags) and plan files (package plan) both produce.
//
// The package is pure: it does no I/O, reads no clock, starts no goroutine and keeps no mutable state. It leaves out what a
// session does with a reply (package session), counters that connections share (package state) and the file format (package
// plan).
package fault
