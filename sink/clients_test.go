package sink_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// realClient is an SMTP client that people use. deliver sends one message and returns the code that decided, as the client tells
// it (0 when it tells none), and whether it takes the message for delivered.
type realClient struct {
	name    string
	deliver func(t *testing.T, host, port string) (code int, delivered bool)
}

var realClients = []realClient{
	{"smtp-source", smtpSource}, {"swaks", swaks}, {"curl", curl}, {"smtplib", smtplib},
}

// runTool runs a program with a message on its standard input.
func runTool(t *testing.T, program string, args ...string) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader("From: a@sender.test\r\nTo: b@recipient.test\r\nSubject: test\r\n\r\nbody\r\n")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// decisive returns the code of the last reply before the client says QUIT. reply matches the last line of a reply.
func decisive(t *testing.T, dialogue string, reply, quit *regexp.Regexp) int {
	t.Helper()
	code := 0
	for line := range strings.Lines(dialogue) {
		if m := reply.FindStringSubmatch(line); m != nil {
			code, _ = strconv.Atoi(m[1])
		}
		if quit.MatchString(line) && code != 0 {
			break
		}
	}
	return code
}

var (
	smtpSourceReply = regexp.MustCompile(`(?:rejected|rejected at server banner): (\d{3}) `)
	swaksReply      = regexp.MustCompile(`^<(?:- |\*\*) ?(\d{3}) `)
	swaksQuit       = regexp.MustCompile(`^ -> QUIT`)
	curlReply       = regexp.MustCompile(`^< (\d{3}) `)
	curlQuit        = regexp.MustCompile(`^> QUIT`)
)

// smtpSource is Postfix's load generator. It tells the code of a failure only.
func smtpSource(t *testing.T, host, port string) (int, bool) {
	t.Helper()
	program := sinktest.RequireTool(t, "smtp-source", "postfix")
	out, status := runTool(t, program, "-s", "1", "-m", "1", "-l", "100", "-M", "client.test", "-f", "a@sender.test", "-t", "b@recipient.test", net.JoinHostPort(host, port))
	if m := smtpSourceReply.FindStringSubmatch(out); m != nil {
		code, _ := strconv.Atoi(m[1])
		return code, status == 0
	}
	if status != 0 {
		t.Errorf("smtp-source: exit status %d without a code: %s", status, out)
	}
	return 0, status == 0
}

func swaks(t *testing.T, host, port string) (int, bool) {
	t.Helper()
	program := sinktest.RequireTool(t, "swaks", "swaks")
	out, status := runTool(t, program, "--server", host, "--port", port, "--helo", "client.test", "--from", "a@sender.test", "--to", "b@recipient.test")
	return decisive(t, out, swaksReply, swaksQuit), status == 0
}

func curl(t *testing.T, host, port string) (int, bool) {
	t.Helper()
	program := sinktest.RequireTool(t, "curl", "curl")
	out, status := runTool(t, program, "--verbose", "--silent", "--show-error", "--url", "smtp://"+net.JoinHostPort(host, port)+"/client.test",
		"--mail-from", "a@sender.test", "--mail-rcpt", "b@recipient.test", "--upload-file", "-")
	return decisive(t, out, curlReply, curlQuit), status == 0
}

const smtplibScript = `
import smtplib, sys
try:
    with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), "client.test", timeout=20) as client:
        client.sendmail("a@sender.test", ["b@recipient.test"], sys.stdin.read())
    print(250) # smtplib takes no other code for success
except smtplib.SMTPRecipientsRefused as refused:
    print(refused.recipients["b@recipient.test"][0]); sys.exit(1)
except smtplib.SMTPResponseException as refused:
    print(refused.smtp_code); sys.exit(1)
`

func smtplib(t *testing.T, host, port string) (int, bool) {
	t.Helper()
	program := "/usr/bin/python3"
	if _, err := os.Stat(program); err != nil {
		program = sinktest.RequireTool(t, "python3", "python3")
	}
	out, status := runTool(t, program, "-c", smtplibScript, host, port)
	code, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || status > 1 {
		t.Fatalf("smtplib: exit status %d: %s", status, out)
	}
	return code, status == 0
}

// deliverTo lets a client deliver one message to a sink with these flags. It returns what the client says, and the code that the
// sink decided at the stage, 0 when it decided none there.
func deliverTo(t *testing.T, client realClient, flags fault.Flags, stage smtp.Stage) (code int, delivered bool, injected int) {
	t.Helper()
	server := sinktest.Start(t, sinktest.WithFlags(flags))
	host, port, err := net.SplitHostPort(server.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	code, delivered = client.deliver(t, host, port)
	stats := eventually(t, server, "the client is gone", func(s *sink.Stats) bool { return s.Connections >= 1 && s.Open == 0 })
	for _, r := range stats.Replies {
		if r.Decided > 0 && r.Stage == stage {
			injected = int(r.Code)
		}
	}
	return code, delivered, injected
}

func TestRealClientsDeliver(t *testing.T) {
	for _, client := range realClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			code, delivered, injected := deliverTo(t, client, fault.Flags{}, smtp.StageMessage)
			if !delivered || injected != 250 || code != 250 && code != 0 {
				t.Errorf("%s says code %d, delivered %t; the sink said %d; want 250 and delivered", client.name, code, delivered, injected)
			}
		})
	}
}

// In every mode a client sees the very code that the sink drew, and knows that its message was not delivered unless the code is 250.
func TestRealClientsSeeEveryMode(t *testing.T) {
	for _, test := range []struct {
		mode, at string
		codes    []int // at least one seed draws each of them; nil: any of the mode's
	}{
		{"accept", "message", nil}, {"bounce", "message", nil}, {"random", "message", nil},
		{"offline", "message", []int{521}}, {"unavailable", "message", []int{421}},
		{"accept", "rcpt", nil}, {"bounce", "rcpt", nil}, {"bounce", "mail", nil}, {"unavailable", "rcpt", []int{421}}, {"bounce", "data", nil},
		{"offline", "connect", []int{521}}, {"unavailable", "connect", []int{421}},
	} {
		stage, err := smtp.ParseStage(test.at)
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range realClients {
			for seed := range uint64(2) {
				if len(test.codes) > 0 && seed > 0 {
					continue // there is but one code to draw
				}
				t.Run(fmt.Sprintf("%s at %s/%s/seed=%d", test.mode, test.at, client.name, seed), func(t *testing.T) {
					t.Parallel()
					code, delivered, injected := deliverTo(t, client, fault.Flags{Mode: test.mode, At: []string{test.at}, Seed: seed}, stage)
					if injected == 0 {
						t.Fatalf("the sink said nothing at %s; the client says %d", test.at, code)
					}
					if len(test.codes) > 0 && injected != test.codes[0] {
						t.Errorf("the sink said %d, want %d", injected, test.codes[0])
					}
					if injected/100 == 2 && stage != smtp.StageMessage {
						want := injected == 250 || client.name != "swaks" // which goes on after 250 only
						if delivered != want {
							t.Errorf("the sink said %d at %s; the client says %d, delivered %t, want %t", injected, test.at, code, delivered, want)
						}
						return
					}
					if code != injected && !(code == 0 && injected/100 == 2) {
						t.Errorf("the sink said %d, but the client saw %d", injected, code)
					}
					if injected/100 != 2 && delivered {
						t.Errorf("the client takes the message for delivered after %d", injected)
					}
				})
			}
		}
	}
}

// What each client makes of the four positive codes after the final dot. RFC 5321 section 4.2.1 makes any 2xx a success.
func TestRealClientsAndPositiveCodesAfterTheDot(t *testing.T) {
	takenForSuccess := map[string]map[int]bool{
		"smtp-source": {250: true, 251: true, 252: true, 253: true},
		"swaks":       {250: true, 251: false, 252: false, 253: false},
		"curl":        {250: true, 251: false, 252: false, 253: false},
		"smtplib":     {250: true, 251: false, 252: false, 253: false},
	}
	for _, client := range realClients {
		for code, want := range takenForSuccess[client.name] {
			t.Run(fmt.Sprintf("%s/%d", client.name, code), func(t *testing.T) {
				t.Parallel()
				seen, delivered, injected := deliverTo(t, client, fault.Flags{Replies: []string{fmt.Sprintf("message=%d", code)}}, smtp.StageMessage)
				if injected != code || seen != code && seen != 0 {
					t.Errorf("the sink said %d and the client saw %d, want %d", injected, seen, code)
				}
				if delivered != want {
					t.Errorf("%s takes %d after the dot for success: %t, want %t", client.name, code, delivered, want)
				}
			})
		}
	}
}
