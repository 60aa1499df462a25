// Package mtalog reads the logs of MTAs: what became of each attempt to deliver, as one kind of event whatever the MTA. Storms compare it with
// what the sink saw, and plans are learned from it.
//
// It leaves out following a log that grows, and what an event means for a message (package reconcile).
package mtalog
