// Package jsonl reads and writes JSON Lines: one flat object a line, in bounded memory, with errors that name file, line and key. The
// ledger and the files that it is judged with share it. Strings may hold any octets: what is not UTF-8 is written as Python's
// surrogateescape writes it.
package jsonl
