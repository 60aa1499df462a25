// Package sinktest helps tests that talk SMTP to the sink: a transcript language whose scripts read like the dialogues of the
// RFCs, a runner for them over a bare session under virtual time or over any network connection, the golden transcripts
// themselves, and RequireTool for tests that need a program of the system.
//
// A script is a text file. Its head says how the server is set up; the dialogue starts with the first line of another kind:
//
//	-- RFC 5321 section 4.1.4: what a comment is, up to the end of the line
//	flags: --reply rcpt=450 --delay "data=uniform(5ms, 50ms)"   (see ParseFlags)
//	plan: version: 1                        the server's plan instead of flags, one line of the YAML file after the other
//	start: ehlo                             stands for the greeting and EHLO with their replies; also: helo lhlo
//
//	S: 220 sink.example ESMTP smtpstorm     the next line of the server, exactly, without CRLF
//	C: EHLO client.example                  the client sends this line and CRLF
//	C! "Go string\n"                        the client sends these octets, as a Go string literal and without CRLF
//	C* 600 "a"                              the client sends that 600 times
//	C< 0d0a                                 the client sends these octets, in hexadecimal
//	S< "Go string\n"                        the next octets of the server, exactly: for replies that are no lines
//	S~ 2 1s "250 OK\r\n"                    octets of the server that come 2 at a time, one piece each second
//	+5s                                     time passes, and nothing comes from the server before its end
//	SILENCE 10m                             time passes, and nothing comes from the server until and at its end
//	EOF                                     the client closes its sending side
//	CLOSED                                  the server closes the connection, and sends nothing more before
//	HALF                                    the same, but it goes on reading
//	RST                                     the server resets the connection, after what it has sent before
//	TLS                                     client and server do a TLS handshake
//	TLS expired                             the same, and it fails for this reason (see fault.TLSFault)
//
// Client lines that follow each other go out as one segment. Over a session, whatever the server says must stand in the script,
// where it is said; over a network, lines that the script does not expect are found at the next S or CLOSED, and HALF can't be told
// from CLOSED.
//
// It leaves out assertions about anything but the dialogue: counters, ledgers and statistics are tested where they live.
package sinktest
