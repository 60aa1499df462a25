// Command benchsoak lets a sink run for long under everything at once: a load of messages that are all accounted for, clients that
// misbehave, plans that are swapped ten times a second, storms whose clock is moved, outcomes that are asked for, resets. It says whether
// memory stays flat, whether a descriptor or a goroutine is left behind, and whether what clients claim, the ledger and the counts agree
// to the last message.
package main
