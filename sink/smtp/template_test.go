package smtp

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextFields(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string // names, or the error
	}{
		{nil, ""},
		{[]string{"no { braces }", "}}"}, ""},
		{[]string{"{{client}} {{date}}", "{{client}}{{queue_id}}"}, "client date queue_id"},
		{[]string{"{{ client }}"}, "unknown template {{ client }} (valid: {{queue_id}} {{client}} {{helo}} {{hostname}} {{sender}} {{recipient}} {{local_part}} {{date}})"},
		{[]string{"{{Client}}"}, "unknown template {{Client}} (valid: {{queue_id}} {{client}} {{helo}} {{hostname}} {{sender}} {{recipient}} {{local_part}} {{date}})"},
		{[]string{"a {{client"}, `reply text "a {{client" opens {{ and does not close it (want a name and }} behind it, such as {{queue_id}})`},
	} {
		fields, err := TextFields(test.lines)
		var names []string
		for _, f := range fields {
			names = append(names, f.String())
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: %s\n want %s", test.lines, got, test.want)
		}
	}
}

func TestAppendFilled(t *testing.T) {
	for _, test := range []struct {
		line, value string
		utf8        bool
		want        string
	}{
		{"from {{client}}, {{client}}", "192.0.2.1", false, "from 192.0.2.1, 192.0.2.1"},
		{"<{{sender}}>", "", false, "<>"},
		{"{{helo}}", "a\r\n250 OK\x00\x7f\t", false, "a??250 OK???"},
		{"{{helo}}", "{{client}}", false, "{{client}}"},
		{"{{recipient}} ü", "ü@x.example", false, "?@x.example ü"},
		{"{{recipient}}", "ü@x.example\u0085\u2028\u202e\xff", true, "ü@x.example????"},
		{"{{sender}}" + strings.Repeat("y", 300), strings.Repeat("x", 300), false, strings.Repeat("x", 300) + strings.Repeat("y", 196)},
		{"{{sender}}", strings.Repeat("x", 495) + "ü", true, strings.Repeat("x", 495)},
	} {
		got := AppendFilled([]byte("550 "), test.line, test.utf8, func(dst []byte, _ Field) []byte { return append(dst, test.value...) })
		if string(got) != "550 "+test.want {
			t.Errorf("%q with %q: %q\n want %q", test.line, test.value, got, "550 "+test.want)
		}
	}
}

// FuzzAppendFilled: whatever a peer calls itself, a line stays one line that clients must take.
func FuzzAppendFilled(f *testing.F) {
	f.Add("x {{client}} y", []byte("a\r\n"), true)
	f.Add("{{sender}}{{date}}", bytes.Repeat([]byte("\xc3\xbc"), 300), false)
	f.Fuzz(func(t *testing.T, line string, value []byte, allowUTF8 bool) {
		r := Reply{Code: 550, Enhanced: Enhanced{5, 999, 999}, Lines: []string{line}, Template: true}
		if r.Validate() != nil {
			return
		}
		if _, err := TextFields(r.Lines); err != nil {
			return
		}
		filled := AppendFilled(nil, line, allowUTF8, func(dst []byte, _ Field) []byte { return append(dst, value...) })
		r.Lines = []string{string(filled)}
		out := r.Append(nil, true)
		if len(out) > MaxReplyLine || bytes.ContainsAny(out[:len(out)-2], "\r\n\x00") {
			t.Errorf("%q with %q: %d octets %q", line, value, len(out), out)
		}
		if allowUTF8 && utf8.ValidString(line) && !utf8.Valid(filled) {
			t.Errorf("%q with %q is no UTF-8: %q", line, value, filled)
		}
	})
}

func TestForwardText(t *testing.T) {
	for _, test := range []struct {
		code          Code
		address, want string
	}{
		{251, "new@example.net", "User not local; will forward to <new@example.net>"},
		{551, "{{local_part}}@example.net", "User not local; please try <{{local_part}}@example.net>"},
		{550, "new@example.net", "reply 550 names no other address (want 251 or 551)"},
		{551, "new@", `invalid address "new@" (want for example new@example.net or {{local_part}}@example.net)`},
		{551, "", `invalid address "" (want for example new@example.net or {{local_part}}@example.net)`},
	} {
		got, err := ForwardText(test.code, test.address)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%d %q: %s\n want %s", test.code, test.address, got, test.want)
		}
	}
}

func TestQueueIDText(t *testing.T) {
	for _, id := range []uint64{0, 1, 0x0123456789abcdef, 1<<64 - 1} {
		text := string(AppendQueueID(nil, id))
		if got, err := ParseQueueID(text); got != id || err != nil || len(text) != 16 || strings.ToUpper(text) != text {
			t.Errorf("%x is written %s and read as %x, %v", id, text, got, err)
		}
	}
	for _, text := range []string{"", "12", "0123456789abcdeg", "0123456789ABCDEF0", "+123456789ABCDEF"} {
		if _, err := ParseQueueID(text); err == nil {
			t.Errorf("%q is taken for a queue id", text)
		}
	}
}
