package xk6smtp

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// judged is what Python's email package makes of a message.
type judged struct {
	From, To, Cc, ReplyTo, Sender, ResentTo [][2]string
	Subject, X                              *string
	Defects, Names                          []string
	Parts                                   []struct {
		Type           string
		Filename, Name *string
		CID            *string
		Content        string
	}
}

// emailJudge starts Python, and returns what asks it.
func emailJudge(t *testing.T) func(wire string) judged {
	t.Helper()
	python := sinktest.RequireTool(t, "python3", "python3")
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "email_judge.py"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("python: %v: %s", err, complaints.String())
		}
	})
	lines := bufio.NewReader(out)
	return func(wire string) (j judged) {
		if err := json.NewEncoder(in).Encode(map[string]string{"wire": base64.StdEncoding.EncodeToString([]byte(wire))}); err != nil {
			t.Fatalf("%v: %s", err, complaints.String())
		}
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &j)
		}
		if err != nil {
			t.Fatalf("%v: %q: %s", err, line, complaints.String())
		}
		return j
	}
}

// filled is a message as a server gets it, dots undone, with values in its fields.
func (m *message) filledWith(own []pair) (wire string, e envelope, err error) {
	e, values, err := m.prepare(own)
	if err != nil {
		return "", e, err
	}
	body := m.body
	if values != nil {
		body = &client.Body{}
		m.template.fill(body, values)
	}
	return string(m.appendHeader(nil, e.idDomain, "run-1", !m.hasStormID, new(dateLine).at(epoch))) + string(body.Plain()), e, nil
}

// wellFormed holds a message to RFC 5322: lines of at most 998 octets with CRLF and no bare one, a header without empty lines, and in it
// no control characters.
func wellFormed(wire string) error {
	header, _, _ := strings.Cut(wire, "\r\n\r\n")
	for _, line := range strings.Split(header, "\r\n") {
		if strings.TrimLeft(line, " \t") == "" {
			return fmt.Errorf("a line of blanks in the header %q", header)
		}
		if hasControl(line) {
			return fmt.Errorf("a control character in %q", line)
		}
	}
	for _, line := range strings.Split(wire, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			return fmt.Errorf("a line of %d octets: %.100q", len(line), line)
		}
	}
	return nil
}

// TestPythonReadsWhatWasMeant builds messages of all that a script may say, gives them to Python's email package, and compares what it reads
// with what was said: names, addresses, texts, files, by options and by fields.
func TestPythonReadsWhatWasMeant(t *testing.T) {
	judge := emailJudge(t)
	text := rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ019 .,;:<>()[]\\\"@'=?_-#%{}|~&/äéß漢字🙂")), 0, 120, -1)
	// Blanks at the ends and in a row are no part of a display name, and Python drops some of a subject's: they have tests of their own.
	tidy := rapid.Map(text, func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "=?", "=")), " ") })
	long := rapid.Custom(func(t *rapid.T) string {
		s := tidy.Draw(t, "text")
		if rapid.IntRange(0, 29).Draw(t, "long") == 0 {
			s += strings.Repeat(rapid.SampledFrom([]string{"x", "ü", "word "}).Draw(t, "of"), rapid.IntRange(1, 3000).Draw(t, "times"))
		}
		return strings.TrimSpace(s)
	})
	local := rapid.OneOf(rapid.StringMatching(`[a-z]{1,8}(\.[a-z0-9+_-]{1,8})?`), rapid.Map(text, func(s string) string { return "q" + strings.TrimSpace(strings.ReplaceAll(s, "  ", "_")) }))
	quoted := func(name string) string {
		if name == "" {
			return ""
		}
		return `"` + quoteEscapes.Replace(name) + `" `
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := options("from", "to", "subject", "text", "headers", "replyTo")
		type said struct{ name, local, domain string }
		draw := func(label string) said {
			domain := rapid.StringMatching(`[a-z]{1,9}\.test`).Draw(rt, label+" domain")
			return said{long.Draw(rt, label+" name"), local.Draw(rt, label+" local"), domain}
		}
		from, to, reply := draw("from"), draw("to"), draw("reply-to")
		subject, x, body := long.Draw(rt, "subject"), long.Draw(rt, "x"), text.Draw(rt, "body")+"\n.\n"+long.Draw(rt, "line")
		filename := strings.NewReplacer("<", "", ">", "").Replace("f" + tidy.Draw(rt, "filename"))
		if len(filename) > 200 {
			filename = strings.ToValidUTF8(filename[:200], "")
		}
		filename = strings.TrimSpace(filename) // Python drops a blank at the end, which stood before what was taken away
		o.attachments = []attachment{{name: filename, content: []byte("\x00.\r\n\xff")}}
		var own []pair
		if rapid.Bool().Draw(rt, "by fields") {
			o.from, o.to = `"{{fn}}" <{{fl}}@{{fd}}>`, []string{"{{tn}} <{{tl}}@{{td}}>"}
			o.replyTo = []string{`{{rn}} <{{rl}}@` + reply.domain + `>`}
			o.subject, o.text, o.headers = "{{s}}", "{{b}}", []pair{{"X-Text", "{{x}}"}}
			for _, name := range []string{"fn", "fl", "fd", "tn", "tl", "td", "rn", "rl", "s", "b", "x"} {
				o.fields = append(o.fields, pair{name, "default"})
			}
			own = []pair{
				{"fn", from.name}, {"fl", from.local}, {"fd", from.domain}, {"tn", to.name}, {"tl", to.local}, {"td", to.domain},
				{"rn", reply.name}, {"rl", reply.local}, {"s", subject}, {"b", body}, {"x", x},
			}
		} else {
			written := func(a said) string { return quoted(a.name) + "<" + joinMailbox(a.local, a.domain, false) + ">" }
			o.from, o.to, o.replyTo = written(from), []string{written(to)}, []string{written(reply)}
			o.subject, o.text, o.headers = subject, body, []pair{{"X-Text", x}}
		}
		m, err := newMessage(o)
		if err != nil {
			rt.Fatalf("%+v: %v", o, err)
		}
		wire, envelope, err := m.filledWith(own)
		if err != nil {
			rt.Fatal(err)
		}
		if err := wellFormed(wire); err != nil {
			rt.Fatal(err)
		}
		if want := joinMailbox(from.local, from.domain, false); envelope.from != want || len(envelope.to) != 1 || envelope.to[0] != joinMailbox(to.local, to.domain, false) {
			rt.Fatalf("envelope %+v, expected %q", envelope, want)
		}
		got := judge(wire)
		expect := func(what, got, want string) {
			if got != want {
				rt.Fatalf("%s is read as\n%q, said was\n%q in\n%s", what, got, want, wire)
			}
		}
		one := func(what string, got [][2]string, want said) {
			if len(got) != 1 {
				rt.Fatalf("%s: %q in\n%s", what, got, wire)
			}
			expect(what+" name", got[0][0], want.name)
			spec := got[0][1]
			at := strings.LastIndexByte(spec, '@')
			readLocal, _, _, _ := splitMailbox(spec[:at])
			expect(what+" local part", readLocal, want.local)
			expect(what+" domain", spec[at+1:], want.domain)
		}
		one("from", got.From, from)
		one("to", got.To, to)
		one("reply-to", got.ReplyTo, reply)
		if subject != "" {
			expect("subject", *got.Subject, subject)
		}
		expect("x", *got.X, x)
		if len(got.Parts) != 2 {
			rt.Fatalf("%d parts in\n%s", len(got.Parts), wire)
		}
		content, err := base64.StdEncoding.DecodeString(got.Parts[0].Content)
		if err != nil {
			rt.Fatal(err)
		}
		expect("body", strings.ReplaceAll(string(content), "\r\n", "\n"), body)
		expect("filename", *got.Parts[1].Filename, filename)
		expect("name", *got.Parts[1].Name, filename)
	})
}
