// Package ledger is the durable form of package event: one JSON line for each connection, each transaction that died before RCPT, each RCPT
// command and each plan swap, in a file that is only ever appended to.
//
// Rows are appended by a Writer, each event loop through its own Shard, in one of three durabilities (see Durability). Open recovers
// a ledger that a killed process left behind and replays its rows, from which a Restorer rebuilds attempt ordinals and greylist
// sightings. A Reader streams rows; Summarize counts them.
//
// It leaves out what the rows mean for a message (package reconcile), and sessions and sockets: package conn turns what sessions tell into rows
// and decides when to flush. The format is described in docs/ledger.md and by the JSON Schemas beside it.
package ledger
