// Package ledger is the durable form of package event: one JSON line for each connection, each transaction that died before RCPT, each RCPT
// command and each plan swap, in a file that is only ever appended to. From it, and from what a sender says it sent, holds and was
// told, every (message, recipient) falls into exactly one class (see Reconciler).
//
// Rows are appended by a Writer, each event loop through its own Shard, in one of three durabilities (see Durability). Open recovers
// a ledger that a killed process left behind and replays its rows, from which a Restorer rebuilds attempt ordinals and greylist
// sightings. A Reader streams rows; Summarize counts them.
//
// The package knows rows, files and classes. It knows neither sessions nor sockets: package sink turns the rows of sink/session
// into these and decides when to flush. The format is described in docs/ledger.md and by the JSON Schemas beside it.
package ledger
