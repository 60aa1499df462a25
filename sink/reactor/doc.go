// Package reactor runs the event loops of a fault-injecting TCP server on
// Linux epoll. It moves bytes, keeps one timer per connection and ends
// connections in exactly the way that a caller asks for; it knows no SMTP.
//
// # Use
//
// [New] starts the loops. [Reactor.Listen] opens a TCP or unix listener on
// them; every accepted connection gets a [Handler] from Config.NewHandler. All
// calls to one Handler, and all calls of its Conn's methods, happen on the one
// goroutine of the loop that accepted the connection, so neither needs locks.
// Other goroutines reach a loop with [Reactor.Post] or [Conn.Post].
//
// A Handler that consumes only a part of what Data offers is paused: the rest
// moves to a pooled buffer, nothing more is read, and TCP pushes back on the
// peer. After [Conn.Resume] the rest is offered again before anything new is
// read. Output goes to the kernel at once, or when all connections that had input
// in the same turn, a few dozen at the most, have been handled; what the kernel
// doesn't take waits in a pooled buffer, and past Config.HighWater input isn't read either, so
// that a peer which never reads costs a bounded amount of memory. It is closed
// by its own deadline: [Close] with pending output gives up when
// Config.DrainTimeout passes without progress.
//
// # Guarantees
//
//   - Level-triggered: an event that isn't dealt with now comes again.
//   - Callbacks never nest: no method of Conn calls the Handler. What it causes
//     happens after the running callback has returned.
//   - Closed is the last call and comes exactly once, unless the connection was
//     handed over by [Conn.Detach].
//   - A connection at rest owns its Conn (under 200 bytes), one slot of a table
//     and at most one slot of a timer heap: no goroutine, no buffer.
//   - In the steady state no event allocates.
//   - Events carry the descriptor and a generation: what was meant for a closed
//     connection never reaches the one that reuses its descriptor.
//   - A connection that is handed over keeps its descriptor; for a second
//     afterwards the loop waits in the Go runtime's poller, where whoever took it
//     waits, too, instead of in a thread of its own.
//   - Without descriptors (EMFILE, ENFILE) accepting stops, is counted, and
//     starts again when a connection closes, or after a tenth of a second.
//   - In one turn of a loop input comes first, then posted functions, then timers, so
//     that a process that was stopped for a while finds its peers' input before
//     it finds their idle timers expired.
//
// # What it leaves out
//
// TLS (a connection is detached and driven by a goroutine), protocols, other
// operating systems (there the package has only its shared types), and
// TCP_DEFER_ACCEPT, since in the protocols this serves the server speaks first.
package reactor
