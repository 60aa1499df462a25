// Package sinktest helps tests that talk SMTP to the sink: a transcript language whose scripts read like the dialogues of the
// RFCs, a runner for them over a bare session under virtual time or over any network connection, the golden transcripts
// themselves, and RequireTool for tests that need a program of the system.
//
// It leaves out assertions about anything but the dialogue: counters, ledgers and statistics are tested where they live.
package sinktest
