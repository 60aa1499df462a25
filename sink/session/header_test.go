package session

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is noted while a header comes in pieces is what a search of the whole header finds.
func TestNotedFieldsAreThoseOfASearch(t *testing.T) {
	names := []string{"X-Storm-Id", "x-storm-id", "Message-ID", "message-id ", "X-Storm-Mode", "X-Blackhole-Delay", "X-Storm-Idea", "Subject", "M", "X-", "x"}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for i := range rapid.IntRange(0, 8).Draw(t, "fields") {
			fmt.Fprintf(&text, "%s%s v%d", rapid.SampledFrom(names).Draw(t, "name"), rapid.SampledFrom([]string{":", "", " :"}).Draw(t, "colon"), i)
			text.WriteString(rapid.SampledFrom([]string{"\r\n", "\n", "\r\n folded\r\n", "\r\n\tx-storm-id: no\r\n", "\r"}).Draw(t, "end"))
		}
		if rapid.Bool().Draw(t, "body") {
			text.WriteString("\r\nX-Storm-Id: of the body\r\nMessage-Id: likewise\r\n")
		}
		message := text.String()
		var pieces, whole header
		pieces.begin()
		whole.begin()
		whole.add([]byte(message))
		whole.noted = false // and so everything is searched
		for rest := message; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces.add([]byte(rest[:n]))
			rest = rest[n:]
		}
		pieces.finish()
		if got, want := string(pieces.buffer.B), string(whole.buffer.B); got != want {
			t.Fatalf("in pieces the header of %q is %q, as a whole %q", message, got, want)
		}
		asks := false
		for _, name := range []string{fieldStormID, fieldMessageID, "subject", "x-storm-mode", "x-blackhole-delay"} {
			got, ok := pieces.Header(name)
			want, wanted := whole.search(name)
			if string(got) != string(want) || ok != wanted {
				t.Fatalf("%s of %q is %q (%v), want %q (%v)", name, message, got, ok, want, wanted)
			}
			asks = asks || wanted && (name == "x-storm-mode" || name == "x-blackhole-delay")
		}
		if asks && !pieces.mayAsk() {
			t.Fatalf("nobody would look for the switches of %q", message)
		}
		pieces.release()
		whole.release()
	})
}

func TestMostHeadersAskForNothing(t *testing.T) {
	for text, want := range map[string]bool{
		"Subject: a\r\nX-Storm-Id: 7\r\n\r\n":      false,
		"Subject: a\r\nX-Storm-Mode: bounce\r\n":   true,
		"x-blackhole-mode: bounce\r\n\r\n":         true,
		"\r\nX-Storm-Mode: bounce\r\n":             false,
		"X-Mailer: a\r\nMessage-ID: <b@c>\r\n\r\n": false,
	} {
		var h header
		h.begin()
		h.add([]byte(text))
		h.finish()
		if got := h.mayAsk(); got != want {
			t.Errorf("%q may ask for something: %v, want %v", text, got, want)
		}
		h.release()
	}
}
