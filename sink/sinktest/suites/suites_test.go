package suites

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
)

var (
	curlDir = flag.String("curl", "", "source of curl, whose tests/data is read")
	eximDir = flag.String("exim", "", "source of Exim with its test suite, whose test/scripts is read")
	every   = flag.Bool("every", false, "show the dialogues that no plan gives")
)

// tally is how many dialogues are possible, and why others aren't.
type tally struct {
	total, possible int
	reasons         map[string][]string
}

func (c *tally) add(t *testing.T, d *dialogue) {
	c.total++
	_, err := try(d)
	if err == nil {
		c.possible++
		return
	}
	if c.reasons == nil {
		c.reasons = map[string][]string{}
	}
	c.reasons[err.Error()] = append(c.reasons[err.Error()], d.name)
	if *every {
		for _, steps := range d.conns {
			for _, s := range steps {
				t.Log(d.name, s)
			}
		}
		t.Log(d.name, err)
	}
}

func (c *tally) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d servers, %d as plans (%.1f%%)", c.total, c.possible, 100*float64(c.possible)/float64(max(1, c.total)))
	var reasons []string
	for reason := range c.reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(&out, "\n  %s: %s", strings.Join(c.reasons[reason], " "), reason)
	}
	return out.String()
}

// TestServers: what Exim's servers do can be said, all of it.
func TestServers(t *testing.T) {
	text, err := os.ReadFile("testdata/exim.txt")
	if err != nil {
		t.Fatal(err)
	}
	var c tally
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		d, err := parseCompact(line)
		if err != nil {
			t.Fatal(err)
		}
		c.add(t, &d)
	}
	t.Logf("%v", &c)
	if c.possible < c.total {
		t.Errorf("%d of %d can't be said", c.total-c.possible, c.total)
	}
}

// Scripts in Exim's form: what is said begins with a digit or >, the rest is heard; servers of other protocols are left out.
func TestEximScripts(t *testing.T) {
	servers := parseExim("x", strings.Join([]string{
		"# a client", "server PORT_S 2", "220 Hello", "EHLO", "250-One", "250 Two", "MAIL FROM:<> SIZE", "250 Fine", "RCPT TO", "550 No", "*sleep 2", "QUIT", "250 Bye", "*eof",
		">>220 He", ">llo", "HELO", ">LF>250 \\x41\\\\", "*sleep 1", ">421 Too late", ">*eof", "****", "exim -q", "****",
		"server PORT_S", "GET /", ">HTTP/1.1 200 OK", "****",
		"server -t 7 PORT_S", "220 Hello", "LHLO", "250 X", "BDAT 10 LAST", "*data 12", "250 Y", "****",
	}, "\n"))
	var got []string
	for i := range servers {
		for n, steps := range servers[i].conns {
			for _, s := range steps {
				got = append(got, fmt.Sprintf("%s/%d %v", servers[i].name, n+1, s))
			}
		}
		_, err := try(&servers[i])
		got = append(got, fmt.Sprintf("%v %v", servers[i].lmtp, err))
	}
	want := []string{
		`x-1/1 S: "220 Hello\r\n"`, "x-1/1 C: EHLO client.example", `x-1/1 S: "250-One\r\n"`, `x-1/1 S: "250 Two\r\n"`, "x-1/1 C: MAIL FROM:<> SIZE", `x-1/1 S: "250 Fine\r\n"`,
		"x-1/1 C: RCPT TO:<r1@x.example>", `x-1/1 S: "550 No\r\n"`, "x-1/1 +2s", "x-1/1 C: QUIT", `x-1/1 S: "250 Bye\r\n"`, "x-1/1 C closes",
		`x-1/2 S: "220 He"`, `x-1/2 S: "llo\r\n"`, "x-1/2 C: HELO client.example", `x-1/2 S: "250 A\\\n"`, "x-1/2 +1s", `x-1/2 S: "421 Too late\r\n"`,
		"false connection 2: says something unasked, after a time of its own",
		`x-2/1 S: "220 Hello\r\n"`, "x-2/1 C: LHLO client.example", `x-2/1 S: "250 X\r\n"`, "x-2/1 C: BDAT 10 LAST", "x-2/1 C: (10 octets)", "x-2/1 C closes", "true <nil>",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A plan that says something else is found out.
func TestOtherOctetsAreFoundOut(t *testing.T) {
	d, err := parseCompact("x 220; EHLO 250 HELP; MAIL 250; RCPT 450; QUIT 221")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := planOf(&d)
	if err != nil {
		t.Fatal(err)
	}
	for i := range spec.Rules {
		p, err := fault.NewPlan(fault.PlanSpec{Rules: slices.Delete(slices.Clone(spec.Rules), i, i+1)})
		if err != nil {
			t.Fatal(err)
		}
		err = playAll(&d, p)
		if wrong := len(spec.Rules[i].Match.Errors) == 0; (err != nil) != wrong {
			t.Errorf("without a rule for %v the dialogue is compared as %v", spec.Rules[i].Stage, err)
		}
	}
}

// TestSources counts over the suites themselves, where they are given.
func TestSources(t *testing.T) {
	if *curlDir == "" && *eximDir == "" {
		return // the sources aren't ours to carry: make suites fetches what can be fetched
	}
	if *curlDir != "" {
		var c tally
		files, _ := filepath.Glob(filepath.Join(*curlDir, "tests/data/test*"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			if d, ok := parseCurl(strings.TrimPrefix(filepath.Base(file), "test"), string(text)); ok {
				c.add(t, &d)
			}
		}
		t.Logf("curl: %v", &c)
	}
	if *eximDir != "" {
		var c tally
		scripts := 0
		files, _ := filepath.Glob(filepath.Join(*eximDir, "test/scripts/*/*"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			servers := parseExim(filepath.Base(file), string(text))
			if len(servers) > 0 {
				scripts++
			}
			for i := range servers {
				c.add(t, &servers[i])
			}
		}
		t.Logf("Exim: in %d scripts %v", scripts, &c)
	}
}
