package sinktest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestParseErrors: a broken script is an error that names its line.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"S 220":                       `test:1: line "S 220": unknown mark (want S: S< S~ C: C! C* C< +time SILENCE EOF CLOSED HALF RST TLS or -- comment)`,
		"-- comment\n\nC! hello":      `test:3: line "C! hello": not a Go string literal`,
		"C< 0g":                       `test:1: line "C< 0g": encoding/hex: invalid byte: U+0067 'g'`,
		`C* many "x"`:                 `test:1: line "C* many \"x\"": strconv.Atoi: parsing "many": invalid syntax`,
		`C* -1 "x"`:                   `test:1: line "C* -1 \"x\"": negative count -1`,
		"+soon":                       `test:1: invalid time "+soon" (want one like +5s)`,
		"+-5s":                        `test:1: invalid time "+-5s" (want one like +5s)`,
		"start: ftp":                  `test:1: start: ftp (valid: helo ehlo lhlo)`,
		"flags: --reply":              `test: flags: --reply: unknown, or without a value`,
		"flags: --storm big":          `test: flags: --storm: unknown flag`,
		"flags: --max-size big":       `test: flags: --max-size: strconv.ParseInt: parsing "big": invalid syntax`,
		"flags: --bare-lf maybe":      `test: flags: --bare-lf: unknown bare LF policy "maybe" (valid: reject accept)`,
		`flags: --hostname "a b`:      `test:1: a double quote is missing`,
		"S< text":                     `test:1: line "S< text": not a Go string literal`,
		`S~ 0 1s "a"`:                 `test:1: line "S~ 0 1s \"a\"": invalid number of octets "0"`,
		`S~ 1 soon "a"`:               `test:1: line "S~ 1 soon \"a\"": invalid time "soon"`,
		"SILENCE":                     `test:1: invalid time "SILENCE" (want one like SILENCE 5s)`,
		"SILENCE 0s":                  `test:1: invalid time "SILENCE 0s" (want one like SILENCE 5s)`,
		"TLS later":                   `test:1: unknown TLS fault "later" (valid: none garbage`,
		"plan: version: 2":            `test: plan: test:1:`,
		"flags: --tls maybe":          `test: flags: --tls: unknown mode "maybe" (valid: never starttls implicit)`,
		"flags: --auth ann":           `test: flags: --auth: invalid account "ann" (want user:password)`,
		"flags: --mode bounce --at x": `test: flags: --at: unknown stage "x" (valid: `,
	} {
		_, err := Parse("test", text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got the error %v, want %s", text, err, want)
		}
	}
}

// TestParse: client lines that follow each other are one segment; comments and empty lines don't part them.
func TestParse(t *testing.T) {
	s, err := Parse("test", "flags: --hostname \"h x\" --seed 3\nC: A\n-- comment\n\nC! \"B\\n\"\nC* 3 \"c\"\nC< 00 ff\nS: 250 text \n+1m30s\nS~ 2 1s \"abcde\"\nS< \"x\\r\"\nSILENCE 1m\nTLS\nTLS reset\nEOF\nHALF\nRST\nCLOSED\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range s.Steps {
		got = append(got, step.String())
	}
	if got, want := strings.Join(got, "|"), `C! "A\r\nB\nccc\x00\xff"|S: 250 text |+1m30s|S~ 2 1s "abcde"|S< "x\r"|SILENCE 1m0s|TLS|TLS reset|EOF|HALF|RST|CLOSED`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if s.Setup.Config.Hostname != "h x" || s.Setup.Plan.Seed() != 3 || s.Duration() != 152*time.Second {
		t.Errorf("hostname %q, seed %d, duration %v", s.Setup.Config.Hostname, s.Setup.Plan.Seed(), s.Duration())
	}
}

// TestFailures: what goes wrong is said with the line of the script and the dialogue as the client saw it.
func TestFailures(t *testing.T) {
	for _, tt := range []struct{ name, script, want, dialogue string }{
		{"wrong reply", "start: helo\nC: NOOP\nS: 251 OK", "line 3: \n got S: 250 OK\nwant S: 251 OK",
			"  S: 220 sink.example ESMTP smtpstorm\n  C: HELO client.example\n  S: 250 sink.example\n  C: NOOP\n  S: 250 OK\n"},
		{"no reply", "start: helo\nS: 250 OK", `line 2: want "250 OK", got none: the server says nothing`, ""},
		{"closed instead", "start: helo\nC: QUIT\nS: 221 Service closing transmission channel\nS: 250 OK", `line 4: want "250 OK", got none: EOF`, ""},
		{"unexpected reply", "start: helo\nC: NOOP\nC: NOOP\nS: 250 OK\nC: QUIT", `line 5: the server said "250 OK" before the client's "C: QUIT"`, ""},
		{"reply after the end", "start: helo\nC: NOOP", `the server said "250 OK" after the end of the script`, ""},
		{"not closed", "start: helo\nCLOSED", `line 2: want the connection closed: the server says nothing`, ""},
		{"a reply instead of closing", "start: helo\nC: NOOP\nCLOSED", `line 3: want the connection closed, got "250 OK"`, ""},
		{"too early", "flags: --delay noop=1s\nstart: helo\nC: NOOP\n+2s\nS: 250 OK", `line 4: the server said "250 OK" after 1s already`, ""},
		{"an end of another kind", "plan: version: 1\nplan: rules: [{stage: noop, close: rst}]\nstart: helo\nC: NOOP\nCLOSED", "line 5: want the connection closed: the server reset the connection", ""},
		{"half an end", "plan: version: 1\nplan: rules: [{stage: noop, close: half}]\nstart: helo\nC: NOOP\nCLOSED", "line 5: want the connection closed: half-closed is true", ""},
		{"no reset", "start: helo\nC: QUIT\nS: 221 Service closing transmission channel\nRST", "line 4: want the connection reset: EOF", ""},
		{"no silence", "start: helo\nC: NOOP\nS: 250 OK\nSILENCE 5m", `line 4: want silence, got "421 Idle timeout, closing transmission channel"`, ""},
		{"wrong octets", "start: helo\nC: NOOP\nS< \"250-\"", "line 3: \n got S< \"250 \"\nwant S< \"250-\"", ""},
		{"too few octets", "start: helo\nC: NOOP\nS< \"250 OK\\r\\n2\"", `line 3: want "250 OK\r\n2", got "250 OK\r\n": the server says nothing`, ""},
		{"all at once", "start: helo\nC: NOOP\nS~ 2 1s \"250 OK\\r\\n\"", `line 3: the server said "0 OK" before 1s had passed`, ""},
		{"no handshake", "start: helo\nTLS", "line 2: the server wants no handshake", ""},
		{"another fault", "flags: --tls starttls\nstart: ehlo\nC: STARTTLS\nS: 220 2.0.0 Ready to start TLS\nTLS reset", "line 5: the server wants a handshake with the fault none, want reset", ""},
		{"too late", "flags: --delay noop=2s\nstart: helo\nC: NOOP\n+1s\nS: 250 OK", `line 5: want "250 OK", got none: the server says nothing`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("test", tt.script)
			if err != nil {
				t.Fatal(err)
			}
			dialogue, err := Play(s, NewSessionConn(s.Setup, nil))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got the error %v\nwant %s", err, tt.want)
			}
			if tt.dialogue != "" && dialogue != tt.dialogue {
				t.Errorf("got the dialogue\n%swant\n%s", dialogue, tt.dialogue)
			}
		})
	}
}

// serve answers on one end of a connection: the greeting, then reply to each line after delay, until QUIT.
func serve(t *testing.T, reply string, delay time.Duration) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "220 hello\r\n")
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			<-time.After(delay)
			io.WriteString(conn, reply)
			if lines.Text() == "QUIT" {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); <-done })
	return conn
}

// TestNetConn: the same scripts run over a network connection.
func TestNetConn(t *testing.T) {
	for _, tt := range []struct {
		name, script, reply string
		delay               time.Duration
		want                string
	}{
		{"a dialogue", "S: 220 hello\nC: A\nC: B\nS: 250 x\nS: 250 x\nC: QUIT\nS: 250 x\nCLOSED", "250 x\r\n", 0, ""},
		{"the end of the client's side", "S: 220 hello\nC: A\nS: 250 x\nEOF\nCLOSED", "250 x\r\n", 0, ""},
		{"in time", "S: 220 hello\nC: A\n+30ms\nS: 250 x", "250 x\r\n", 200 * time.Millisecond, ""},
		{"too early", "S: 220 hello\nC: A\n+1s\nS: 250 x", "250 x\r\n", 0, `line 3: the server said "250 x" before 1s had passed`},
		{"a wrong line", "S: 220 hello\nC: A\nS: 250 y", "250 x\r\n", 0, "line 3: \n got S: 250 x\nwant S: 250 y"},
		{"a line without CR", "S: 220 hello\nC: A\nS: 250 x", "250 x\n", 0, `line 3: want "250 x", got none: the line "250 x\n" does not end in CRLF`},
		{"half a line", "S: 220 hello\nC: QUIT\nS: 250 x", "250 x", 0, `line 3: want "250 x", got none: the server closed the connection within the line "250 x"`},
		{"silence", "S: 220 hello\nS: 250 x", "", 0, `line 2: want "250 x", got none: the server says nothing within 300ms, after ""`},
		{"not closed", "S: 220 hello\nCLOSED", "", 0, `line 2: want the connection closed: the server says nothing within 300ms, after ""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("test", tt.script)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Play(s, NewNetConn(serve(t, tt.reply, tt.delay), 300*time.Millisecond))
			if got := errorText(err); got != tt.want {
				t.Errorf("got the error %s\nwant %s", got, tt.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
