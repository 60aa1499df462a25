// Package smtp holds the vocabulary of the SMTP dialogue: stages, verbs, commands, reply codes, enhanced status codes,
// replies, and the catalogue of their texts.
//
// Both sides speak it: the sink's session parses commands and appends replies, the load generator's client formats commands
// and parses replies, and reports name stages and codes with it. Parsing and appending work on the caller's byte slices and
// do not allocate.
//
// It leaves out everything that decides or acts: which reply a stage gives is package fault, the order of commands is
// package session, bytes on a wire are the drivers'. It imports nothing else of this project, does no I/O and knows no time.
package smtp
