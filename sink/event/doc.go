// Package event is the vocabulary of what happens in a sink, as rows: a run starts, a connection ends, a transaction ends before any
// RCPT, the fate of one RCPT command is known, another plan comes into force, somebody moves a storm's clock. Sessions tell what happened in these words; the ledger
// is their durable form (package ledger), and package reconcile judges by them.
//
// The package holds words alone, those of notifications too, and the Digest by which bodies are compared: no file, no format, no session.
package event
