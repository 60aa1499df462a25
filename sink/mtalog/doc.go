// Package mtalog reads the logs of MTAs: what became of each attempt to deliver, as one kind of event whatever the MTA. Storms compare it with
// what the sink saw, and plans are learned from it.
package mtalog
