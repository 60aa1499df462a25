package cmd

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/smtpstorm/xk6-smtp/scripts"
)

// Bad input is one line that names the culprit and what would be valid, exit status 2, and nothing else.
func TestBadInput(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	plans := t.TempDir()
	plan := func(name, text string) string {
		path := filepath.Join(plans, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := plan("good.yaml", "version: 1\nrules:\n  - {stage: rcpt, reply: 550}\n")
	unknownKey := plan("unknown-key.yaml", "version: 1\nrules:\n  - stage: rcpt\n    repply: 550\n")
	broken := plan("broken.yaml", "version: 1\nrules: [\n")
	plan("calm.yaml", "mine")

	for _, test := range []struct {
		name string
		args []string
		want []string // all of these in the line
	}{
		{"unknown flag", []string{"--mod", "bounce"}, []string{"--mod", "--mode", "--reply", "--plan", "--help"}},
		{"unknown short flag", []string{"-z"}, []string{"'z'", "--listen"}},
		{"flag without its value", []string{"--mode"}, []string{"--mode"}},
		{"unknown command", []string{"serve"}, []string{`"serve"`, "catalogue", "version"}},
		{"argument of a command without arguments", []string{"version", "please"}, []string{"version", `"please"`}},
		{"flag of another command", []string{"version", "--mode", "bounce"}, []string{"--mode", "--help"}},
		{"unknown mode", []string{"--mode", "angry"}, []string{"--mode", `"angry"`, "accept bounce offline unavailable random"}},
		{"unknown stage of a mode", []string{"--mode", "bounce", "--at", "dinner"}, []string{"--at", `"dinner"`, "connect pregreet helo ehlo"}},
		{"stage without a mode", []string{"--at", "rcpt"}, []string{"--at", "--mode"}},
		{"mode that says nothing at a stage", []string{"--mode", "offline", "--at", "data"}, []string{"offline", "data"}},
		{"unknown stage of a reply", []string{"--reply", "dinner=450"}, []string{"--reply", `"dinner"`, "connect pregreet helo ehlo"}},
		{"reply without a stage", []string{"--reply", "450"}, []string{"--reply", "450", "STAGE="}},
		{"code below 200", []string{"--reply", "rcpt=150"}, []string{"--reply", "150", "200"}},
		{"code above 599", []string{"--reply", "rcpt=650"}, []string{"--reply", "650", "599"}},
		{"code that is none", []string{"--reply", "rcpt=no"}, []string{"--reply", `"no"`}},
		{"weight that is none", []string{"--reply", "rcpt=450:heavy"}, []string{"--reply", `"heavy"`}},
		{"weights that sum to 0", []string{"--reply", "rcpt=450:0,250:0"}, []string{"--reply", "weight"}},
		{"negative weight", []string{"--reply", "rcpt=450:-1"}, []string{"--reply", `"-1"`}},
		{"enhanced status code of another class", []string{"--reply", "rcpt=450/5.1.1"}, []string{"--reply", "5.1.1", "450"}},
		{"two replies at a stage", []string{"--reply", "rcpt=450", "--reply", "rcpt=550"}, []string{"--reply", "rcpt"}},
		{"unknown delay", []string{"--delay", "data=poisson(5ms)"}, []string{"--delay", "poisson", "uniform"}},
		{"negative delay", []string{"--delay", "data=-5ms"}, []string{"--delay", "-5ms"}},
		{"delay without a unit", []string{"--delay", "data=5"}, []string{"--delay", `"5"`}},
		{"seed that is none", []string{"--seed", "-1"}, []string{"--seed", `"-1"`}},
		{"seed without a value", []string{"--seed"}, []string{"--seed", "missing", "whole number"}},
		{"empty plan name", []string{"--plan", ""}, []string{"--plan", "empty", "variable"}},
		{"empty host name", []string{"--hostname="}, []string{"--hostname", "empty"}},
		{"misspelt flag", []string{"--lissten", "127.0.0.1:2525"}, []string{"did you mean --listen?"}},
		{"misspelt command", []string{"chek"}, []string{"did you mean check?", "127.0.0.1:2525"}},
		{"port alone", []string{"2525"}, []string{"127.0.0.1:2525", "address"}},
		{"address as argument and as flag", []string{"--listen", "127.0.0.1:0", "127.0.0.1:0"}, []string{"127.0.0.1:0", "not together with --listen"}},
		{"backlog of smtp-sink", []string{"127.0.0.1:0", "100"}, []string{"100", "backlog"}},
		{"argument that is no address", []string{"127.0.0.1:many"}, []string{"127.0.0.1:many", "port"}},
		{"plan that is not built in", []string{"--plan", "bounce-strom"}, []string{"--plan", "no such file", "no built-in plan", "bounce-storm"}},
		{"unknown plan to print", []string{"plans", "storm"}, []string{`"storm"`, "bounce-storm"}},
		{"two plans to print", []string{"plans", "calm", "greylist"}, []string{"2 names", "--write"}},
		{"plans where they are already", []string{"plans", "--write", plans}, []string{"calm.yaml", "there already"}},
		{"plan to check", []string{"check"}, []string{"got 0 plans", "bounce-storm"}},
		{"unknown shell", []string{"completion", "tcsh"}, []string{`"tcsh"`, "bash zsh fish"}},
		{"command of the ledger", []string{"ledger", "sumarize"}, []string{`"sumarize"`, "did you mean summarize?"}},
		{"plan that is missing", []string{"--plan", filepath.Join(plans, "missing.yaml")}, []string{"--plan", "missing.yaml", "no such file"}},
		{"plan that is a directory", []string{"--plan", plans}, []string{"--plan", plans}},
		{"plan with an unknown key", []string{"--plan", unknownKey}, []string{"--plan", "unknown-key.yaml:4", "repply", "reply"}},
		{"plan with a tab", []string{"--plan", plan("tab.yaml", "version: 1\nrules:\n\t- stage: rcpt\n")}, []string{"tab.yaml:3", "a tab", "blanks"}},
		{"empty plan", []string{"--plan", plan("empty.yaml", "")}, []string{"empty.yaml", "the plan is empty", "version: 1"}},
		{"plan of comments", []string{"--plan", plan("comments.yaml", "# nothing\n")}, []string{"comments.yaml", "nothing but comments", "version: 1"}},
		{"plan without a version", []string{"--plan", plan("none.yaml", "rules: []\n")}, []string{"none.yaml:1", "version: 1", "format"}},
		{"two documents", []string{"--plan", plan("two.yaml", "version: 1\n---\nversion: 1\n")}, []string{"two.yaml", "more than one document"}},
		{"open quote", []string{"--plan", plan("quote.yaml", "version: 1\nname: \"a\n")}, []string{"quote.yaml:", "not closed"}},
		{"indentation", []string{"--plan", plan("indent.yaml", "version: 1\nrules:\n  - stage: rcpt\n   reply: 550\n")}, []string{"indent.yaml:4", "indentation"}},
		{"port alone as listener", []string{"--listen", "2525"}, []string{"--listen", "such as 127.0.0.1:2525"}},
		{"path as listener", []string{"--listen", "/tmp/s"}, []string{"--listen", "unix:/tmp/s"}},
		{"notifications in a file", []string{"--listen", "127.0.0.1:0", "--dsn-dir", good}, []string{"--dsn-dir", good, "not a directory"}},
		{"notifications below nothing", []string{"--listen", "127.0.0.1:0", "--dsn-dir", filepath.Join(plans, "no", "dsn")}, []string{"--dsn-dir", "no such file"}},
		{"notifications for nobody", []string{"--plan", plan("dsn.yaml", "version: 1\nlisteners: [{name: back, address: '127.0.0.1:0', dsn: true}]\n")}, []string{"back", "--dsn-dir"}},
		{"waiting for no disk", []string{"--ledger", filepath.Join(plans, "l"), "--ledger-timeout", "5s"}, []string{"--ledger-timeout", "--durability ack"}},
		{"quiet progress", []string{"--quiet", "--stats-interval", "1s"}, []string{"--stats-interval", "--quiet"}},
		{"certificate for nobody", []string{"--tls", "never", "--tls-cert", good, "--tls-key", good}, []string{"--tls-cert", "--tls never"}},
		{"authority for nobody", []string{"--tls", "never", "--tls-ca", filepath.Join(plans, "ca.pem")}, []string{"--tls-ca", "--tls never"}},
		{"reply without a stage, in words", []string{"--reply", "450"}, []string{"a stage is missing", "rcpt="}},
		{"plan that is no YAML", []string{"--plan", broken}, []string{"--plan", "broken.yaml"}},
		{"plan and mode", []string{"--plan", good, "--mode", "bounce"}, []string{"--mode", "--plan"}},
		{"plan and reply", []string{"--plan", good, "--reply", "rcpt=450"}, []string{"--reply", "--plan"}},
		{"address without a port", []string{"--listen", "127.0.0.1"}, []string{"--listen", `"127.0.0.1"`, "host:port"}},
		{"two listeners of one name", []string{"--listen", "a=127.0.0.1:0", "--listen", "a=127.0.0.1:0"}, []string{`"a"`}},
		{"port in use", []string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "address already in use"}},
		{"port in use, other driver", []string{"--listen", taken.Addr().String(), "--driver", "net"}, []string{taken.Addr().String(), "address already in use"}},
		{"address of another machine", []string{"--listen", "192.0.2.1:0"}, []string{"192.0.2.1:0"}},
		{"unknown driver", []string{"--driver", "iocp"}, []string{"--driver", `"iocp"`, "auto epoll net"}},
		{"number of loops", []string{"--loops", "-2"}, []string{"--loops", "-2"}},
		{"unknown bare LF policy", []string{"--bare-lf", "ignore"}, []string{"--bare-lf", `"ignore"`, "reject accept"}},
		{"size", []string{"--max-size", "big"}, []string{"--max-size", `"big"`, "50MiB"}},
		{"state memory", []string{"--state-memory", "none"}, []string{"--state-memory", `"none"`, "1MiB"}},
		{"little state memory", []string{"--state-memory", "1KiB"}, []string{"--state-memory", `"1KiB"`, "1MiB"}},
		{"recipients", []string{"--max-recipients", "0"}, []string{"--max-recipients", "0"}},
		{"idle timeout", []string{"--idle-timeout", "0"}, []string{"--idle-timeout"}},
		{"duration without a unit", []string{"--drain-timeout", "5"}, []string{"--drain-timeout", "5"}},
		{"name that would break the greeting", []string{"--hostname", "a\r\nb"}, []string{"--hostname"}},
		{"odds", []string{"--mode", "random", "--random-accept", "1.5"}, []string{"--random-accept", "1.5"}},
		{"maximum hold", []string{"--max-hold", "0s"}, []string{"--max-hold"}},
		{"choice of TLS", []string{"--tls", "maybe"}, []string{"--tls", `"maybe"`, "auto always never"}},
		{"TLS required and never offered", []string{"--tls", "never", "--tls-required"}, []string{"--tls-required", "--tls never"}},
		{"certificate without its key", []string{"--tls-cert", good}, []string{"--tls-cert", "--tls-key"}},
		{"key without its certificate", []string{"--tls-key", good}, []string{"--tls-key", "--tls-cert"}},
		{"certificate that is none", []string{"--tls-cert", good, "--tls-key", good}, []string{"--tls-cert", "good.yaml", "certificate"}},
		{"certificate that is missing", []string{"--tls-cert", filepath.Join(plans, "missing.pem"), "--tls-key", good}, []string{"missing.pem", "no such file"}},
		{"authority of a given certificate", []string{"--tls-cert", good, "--tls-key", good, "--tls-ca", filepath.Join(plans, "ca.pem")}, []string{"--tls-ca", "--tls-cert"}},
		{"unknown listener with implicit TLS", []string{"--tls-implicit", "mx9"}, []string{"--tls-implicit", `"mx9"`, "127.0.0.1:0"}},
		{"unknown listener with LMTP", []string{"--lmtp", "mx9"}, []string{"--lmtp", `"mx9"`, "127.0.0.1:0"}},
		{"account without a password", []string{"--auth-user", "alice"}, []string{"--auth-user", `"alice"`, "name:password"}},
		{"two passwords", []string{"--auth-user", "a:b", "--auth-user", "a:c"}, []string{"--auth-user", `"a"`}},
		{"password for any other", []string{"--auth", "alice:secret"}, []string{"--auth", "any:password"}},
		{"accounts of both kinds", []string{"--auth", "any:secret", "--auth-user", "a:b"}, []string{"--auth", "--auth-user"}},
		{"AUTH required of nobody", []string{"--auth-required"}, []string{"--auth-required", "--auth-user"}},
		{"AUTH under TLS for nobody", []string{"--auth-tls"}, []string{"--auth-tls", "--auth-user"}},
		{"durability", []string{"--ledger", filepath.Join(plans, "l"), "--durability", "best"}, []string{"--durability", `"best"`, "none batch ack"}},
		{"ledger timeout", []string{"--ledger", filepath.Join(plans, "l"), "--durability", "ack", "--ledger-timeout", "0"}, []string{"--ledger-timeout", "more than 0"}},
		{"durability of nothing", []string{"--durability", "ack"}, []string{"--durability", "--ledger"}},
		{"ledger that can't be written", []string{"--ledger", filepath.Join(plans, "missing", "l")}, []string{"--ledger", "missing", "no such file"}},
		{"ledger that is a directory", []string{"--ledger", plans}, []string{plans}},
		{"ledger that is none", []string{"--ledger", good}, []string{"good.yaml:1"}},
		{"odds without their mode", []string{"--mode", "bounce", "--random-accept", "0.5"}, []string{"--random-accept", "random"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if strings.HasPrefix(args[0], "-") && !strings.Contains(strings.Join(args, " "), "--listen") {
				args = append([]string{"--listen", "127.0.0.1:0"}, args...)
			}
			stdout, stderr, status := invoke(t, args...)
			if status != exitUsage {
				t.Errorf("exit status %d, want %d", status, exitUsage)
			}
			if stdout != "" {
				t.Errorf("stdout is %q, want nothing", stdout)
			}
			line := oneLine(t, stderr)
			for _, want := range test.want {
				if !strings.Contains(line, want) {
					t.Errorf("the error is %q, want it to say %s", line, want)
				}
			}
		})
	}
}

func TestHelp(t *testing.T) {
	stdout, stderr, status := invoke(t, "--help")
	if status != 0 || stderr != "" {
		t.Errorf("--help: exit status %d, stderr %q", status, stderr)
	}
	for _, want := range []string{"smtpsink --mode bounce --at rcpt --seed 7", "--listen [name=]host:port", "--reply stage=code:weight", "catalogue"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--help does not say %q:\n%s", want, stdout)
		}
	}
}

// Every command explains itself in 80 columns, and says what its exit status means.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, command := range []string{"", "check", "plans", "catalogue", "ledger", "ledger summarize", "ledger reconcile", "completion", "version", "ctl", "ctl plan", "ctl plan put", "ctl storm", "ctl storm jump", "ctl next", "ctl next add", "ctl stats", "ctl events", "ctl messages",
		"ctl judge", "ctl ledger", "ctl reset", "ctl token", "ctl info", "ctl ready", "ctl standings", "ctl standings forgive"} {
		stdout, stderr, status := invoke(t, append(strings.Fields(command), "--help")...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, "\nExit status:\n  ") {
			t.Errorf("%s --help: exit status %d, stderr %q, stdout\n%s", command, status, stderr, stdout)
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 81 {
				t.Errorf("%s --help: more than 80 columns: %s", command, line)
			}
		}
	}
}

// The tables of every plan and of the catalogue fit 80 columns.
func TestTablesFitATerminal(t *testing.T) {
	commands := [][]string{{"catalogue"}, {"plans"}}
	for _, p := range scripts.Plans() {
		commands = append(commands, []string{"check", p.Name})
	}
	for _, args := range commands {
		stdout, stderr, status := invoke(t, args...)
		if status != 0 || stderr != "" || stdout == "" {
			t.Errorf("%v: exit status %d, stderr %q, %d octets", args, status, stderr, len(stdout))
		}
		for line := range strings.Lines(stdout) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("%v: more than 80 columns: %s", args, line)
			}
		}
	}
}

// A shell is offered the values of flags, and the plans that are built in.
func TestCompletionOfValues(t *testing.T) {
	for line, want := range map[string]string{
		"--mode": "unavailable\n", "--at": "message\n", "--durability": "ack\n", "--tls": "never\n", "--driver": "epoll\n", "--bare-lf": "accept\n",
		"--reply": "rcpt=\n", "--delay": "data=\n", "--plan": "bounce-storm\t", "check": "flapping\t", "plans": "greylist\n", "completion": "zsh\n", "ledger": "reconcile\t",
	} {
		stdout, _, status := invoke(t, "__complete", line, "")
		if status != 0 || !strings.Contains("\n"+stdout, "\n"+want) {
			t.Errorf("%s: exit status %d, offered\n%s\nwant %q", line, status, stdout, want)
		}
	}
}

// An address may stand alone, as Postfix's smtp-sink takes it.
func TestAddressWithoutFlag(t *testing.T) {
	for _, args := range [][]string{{"127.0.0.1:0"}, {"inet:127.0.0.1:0", "--quiet=false"}, {"one=127.0.0.1:0", "[::1]:0"}} {
		listeners := 0
		for _, arg := range args {
			if !strings.HasPrefix(arg, "--") {
				listeners++
			}
		}
		p := start(t, listeners, args...)
		if err := deliver(t, p.addr[0]); err != nil {
			t.Errorf("%v: %v", args, err)
		}
		if _, stderr, status := p.stop(os.Interrupt); status != 0 {
			t.Errorf("%v: exit status %d, %s", args, status, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		stdout, _, status := invoke(t, arg)
		if status != 0 || !strings.HasPrefix(stdout, "smtpsink ") || !strings.Contains(stdout, "go1.") || strings.Count(stdout, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", arg, status, stdout)
		}
	}
}

func TestCatalogue(t *testing.T) {
	for _, name := range []string{"catalogue", "codes"} {
		stdout, _, status := invoke(t, name)
		if status != 0 {
			t.Errorf("%s: exit status %d", name, status)
		}
		for _, want := range []string{"\n550   Requested action not taken: mailbox unavailable", "\nmessage ", "\nunavailable  421\n"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, stdout)
			}
		}
	}
	stdout, _, _ := invoke(t, "catalogue", "--json")
	var c struct {
		Codes  []struct{ Code int }
		Stages []struct {
			Stage       string
			Plain       int
			Source, RFC []int
		}
		Modes []struct{ Mode string }
	}
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		t.Fatalf("catalogue --json: %v", err)
	}
	pairs := 0
	for _, s := range c.Stages {
		pairs += len(s.Source)
	}
	if len(c.Codes) < 36 || len(c.Stages) != 23 || pairs != 111 || len(c.Modes) != 5 {
		t.Errorf("catalogue --json has %d codes, %d stages with %d pairs, %d modes; want at least 36, 23 with 111, 5", len(c.Codes), len(c.Stages), pairs, len(c.Modes))
	}
}
