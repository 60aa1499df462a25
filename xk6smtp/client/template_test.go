package client

import (
	"errors"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	const message = "Subject: Hi @1@\n\nDear @1@,\n@2@.\n.end\n"
	for _, test := range []struct {
		name   string
		values []string
		want   string
	}{
		{"plain", []string{"Ann", "ok"}, "Subject: Hi Ann\r\n\r\nDear Ann,\r\nok.\r\n..end\r\n.\r\n"},
		{"empty values leave a dot at the start of a line", []string{"", ""}, "Subject: Hi \r\n\r\nDear ,\r\n..\r\n..end\r\n.\r\n"},
		{"a value of lines with dots", []string{"Ann", ".a\n.b\r\n"}, "Subject: Hi Ann\r\n\r\nDear Ann,\r\n..a\r\n..b\r\n..\r\n..end\r\n.\r\n"},
		{"not ASCII", []string{"Änn", "ok"}, "Subject: Hi =?utf-8?b?w4Rubg==?=\r\n\r\nDear Änn,\r\nok.\r\n..end\r\n.\r\n"},
		{"a value that looks like a marker", []string{"@2@", "@1@"}, "Subject: Hi @2@\r\n\r\nDear @2@,\r\n@1@.\r\n..end\r\n.\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			template, err := NewTemplate([]byte(message), []string{"@1@", "@2@"})
			if err != nil {
				t.Fatal(err)
			}
			var body Body
			for range 2 { // the second time into storage that is there
				if err := template.Execute(&body, test.values); err != nil {
					t.Fatal(err)
				}
				if got := string(body.Wire()); got != test.want {
					t.Errorf("got %q\nexpected %q", got, test.want)
				}
			}
			plain := strings.ReplaceAll("\r\n"+strings.TrimSuffix(test.want, ".\r\n"), "\r\n.", "\r\n")[2:]
			if got := string(body.Plain()); got != plain {
				t.Errorf("plain %q\nexpected %q", got, plain)
			}
			if body.Size() != len(plain) || body.EightBit() != strings.Contains(test.values[0], "Ä") {
				t.Errorf("size %d, expected %d; 8-bit %v", body.Size(), len(plain), body.EightBit())
			}
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	if _, err := NewTemplate([]byte("x"), []string{"@1@"}); err == nil {
		t.Error("a marker that is not there is no error")
	}
	template, err := NewTemplate([]byte("Subject: @1@\n\nx"), []string{"@1@"})
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Execute(&Body{}, []string{"a\r\nBcc: b@x.test"}); !errors.Is(err, ErrHeaderValue) {
		t.Errorf("header injection: %v", err)
	}
}

func TestTemplateFillsWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	template, err := NewTemplate([]byte("Subject: @1@\n\nDear @1@\n"), []string{"@1@"})
	if err != nil {
		t.Fatal(err)
	}
	var body Body
	values := []string{"Ann"}
	n := testing.AllocsPerRun(100, func() {
		if err := template.Execute(&body, values); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}
