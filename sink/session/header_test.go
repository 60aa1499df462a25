package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is noted while a header comes in pieces is what a search of the whole header finds.
func TestNotedFieldsAreThoseOfASearch(t *testing.T) { rapid.Check(t, notedFields) }

func FuzzHeader(f *testing.F) { f.Fuzz(rapid.MakeFuzz(notedFields)) }

func notedFields(t *rapid.T) {
	names := []string{"X-Storm-Id", "x-storm-id", "Message-ID", "message-id ", "X-Storm-Mode", "X-Blackhole-Delay", "X-Storm-Idea", "Subject", "M", "X-", "x"}
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
	pieces.begin(DefaultMaxHeader)
	whole.begin(DefaultMaxHeader)
	whole.add([]byte(message))
	whole.finish()
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
		want := fieldsOf(string(whole.buffer.B), name)
		if got := allOf(&pieces, name); !slices.Equal(got, want) {
			t.Fatalf("%s of %q is %q, want %q", name, message, got, want)
		}
		asks = asks || len(want) > 0 && (name == "x-storm-mode" || name == "x-blackhole-delay")
	}
	for i, name := range []string{fieldStormID, fieldMessageID} {
		want := ""
		if all := fieldsOf(string(whole.buffer.B), name); len(all) > 0 {
			want = all[0]
		}
		if got, searched := string(pieces.id(i)), string(whole.id(i)); got != want || searched != want { // whole has its lines at once
			t.Fatalf("the first %s of %q is noted as %q and found as %q, want %q", name, message, got, searched, want)
		}
	}
	if asks && !pieces.mayAsk() {
		t.Fatalf("nobody would look for the switches of %q", message)
	}
	pieces.release()
	whole.release()
}

func allOf(h *header, name string) (values []string) {
	value, next, ok := h.Header(name, 0)
	for ; ok; value, next, ok = h.Header(name, next) {
		values = append(values, string(value))
	}
	return values
}

// fieldsOf reads a header in the simplest way: it unfolds the whole, and then takes its lines apart (RFC 5322 sections 2.2 and 4.5).
func fieldsOf(text, name string) (values []string) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\n ", " "), "\n\t", "\t")
	for line := range strings.SplitSeq(text, "\n") {
		if field, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimRight(field, " \t"), name) {
			values = append(values, strings.Trim(value, " \t\r"))
		}
	}
	return values
}

// TestHeaderPastItsLimit: a field whose end was not captured is as if absent, however the message is split.
func TestHeaderPastItsLimit(t *testing.T) {
	const mode = "X-Storm-Mode: bounce\r\n"
	for _, c := range []struct {
		name, tail string
		over       int // octets of tail that are not captured
		want       bool
	}{
		{"whole and followed by another field", mode + "A: b\r\n", 3, true},
		{"whole, but perhaps it goes on", mode + "A: b\r\n", 6, false},
		{"its continuation is cut", mode + " d\r\n", 2, false},
		{"cut", mode, 9, false},
	} {
		h := header{}
		h.begin(DefaultMaxHeader)
		filler := "Subject: " + strings.Repeat("x", DefaultMaxHeader-len("Subject: \r\n")-len(c.tail)+c.over) + "\r\n"
		text := filler + c.tail + "\r\nX-Storm-Mode: offline\r\n\r\n"
		for rest := text; rest != ""; {
			n := min(len(rest), 4093)
			h.add([]byte(rest[:n]))
			rest = rest[n:]
		}
		h.finish()
		if !h.cut {
			t.Errorf("%s: the header of %d octets was not cut", c.name, len(text))
		}
		if got := allOf(&h, "x-storm-mode"); (len(got) == 1) != c.want {
			t.Errorf("%s: the header's switches are %q, want any: %v", c.name, got, c.want)
		}
		if got := len(allOf(&h, "subject")); got != 1 {
			t.Errorf("%s: %d subjects, want 1", c.name, got)
		}
		h.release()
	}
	h := header{}
	h.begin(DefaultMaxHeader)
	h.add([]byte("Subject: " + strings.Repeat("x", DefaultMaxHeader-len("Subject: \r\n\r\n")) + "\r\n\r\nbody"))
	if h.finish(); h.cut || len(allOf(&h, "subject")) != 1 {
		t.Error("a header that just fits was cut")
	}
	h.release()
}

// Of the fields that could ask for a reply the first ones are looked at, in the order in which they stand.
func TestFirstSwitchesAreLookedAt(t *testing.T) {
	var h header
	defer h.release()
	read := func(text string) (values []string) {
		h.begin(DefaultMaxHeader)
		h.add([]byte(text))
		h.finish()
		value, next, ok := (*switchFields)(&h).Header("x-storm-mode", 0)
		for ; ok; value, next, ok = (*switchFields)(&h).Header("x-storm-mode", next) {
			values = append(values, string(value))
		}
		return values
	}
	if got, want := read("X-Storm-Delay: 1s\r\nx-storm-mode : a\r\n b\r\nX-Storm-Modes: c\r\nX-STORM-MODE:d\r\n\r\nX-Storm-Mode: body"), []string{"a b", "d"}; !slices.Equal(got, want) {
		t.Errorf("the modes are %q, want %q", got, want)
	}
	if got := read("X-Storm-Mode: unterminated"); !slices.Equal(got, []string{"unterminated"}) {
		t.Errorf("of a message without a body the modes are %q", got)
	}
	if got := len(read(strings.Repeat("X-Storm-Mode: nonsense\r\n", 1000) + "\r\n")); got != maxSwitches {
		t.Errorf("of 1000 switches %d are looked at, want %d", got, maxSwitches)
	}
}

// Each row of a message asks for what identifies it, and nothing is searched, or copied, twice.
func TestIdentityIsReadOnce(t *testing.T) {
	for _, id := range []string{"<" + strings.Repeat("x", 60_000) + "@y>", "<a@" + strings.Repeat("\r\n ", 10_000) + "b>"} {
		var h header
		h.begin(DefaultMaxHeader)
		h.add([]byte("Message-ID: " + id + "\r\n\r\n"))
		h.finish()
		first := h.id(idMessage)
		if want := strings.ReplaceAll(id, "\r\n", ""); string(first) != want {
			t.Fatalf("the identity has %d octets, want %d", len(first), len(want))
		}
		h.buffer.B[0] = 'x' // if it were searched, it would not be found
		h.messageID = 0
		if again := h.id(idMessage); len(again) != len(first) || &again[0] != &first[0] {
			t.Error("the identity is read again for the next row")
		}
		h.release()
	}
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
		h.begin(DefaultMaxHeader)
		h.add([]byte(text))
		h.finish()
		if got := h.mayAsk(); got != want {
			t.Errorf("%q may ask for something: %v, want %v", text, got, want)
		}
		h.release()
	}
}
