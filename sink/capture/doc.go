// Package capture keeps the messages that a sink has taken, in memory or as files of a directory: the last ones, within bounds of octets
// and number. It takes no part in the dialogue: what can't be kept is counted, and the client never notices.
//
// It leaves out what a message means: headers are parsed when somebody asks, and what became of recipients that were refused before the
// body is in the rows of the ledger.
package capture
