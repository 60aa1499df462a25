// Package supervise makes sure that what a program starts and writes does not outlive it, however it ends: by a signal, with its
// terminal, or by kill -9.
//
// Three things work together. A child of Start is killed by the kernel when its parent dies (Linux). A Scratch is a directory whose
// owner holds a lock that ends with the owner; processes that carry the directory in their environment belong to it, daemons too,
// which no kernel ends. A Watchdog is a process that outlives the program, and at its end clears away the scratch directories that it
// was told of, with the processes that belong to them; what it could not do, because it was killed as well, the next run does by
// Sweep.
//
// It knows nothing of what it supervises: not k6, not a mail transfer agent.
package supervise
