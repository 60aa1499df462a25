package text

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text   string
		width  int
		indent string
		want   string
	}{
		{"", 10, "  ", ""},
		{"one  two\nthree", 20, "", "one two three"},
		{"one two three", 9, "  ", "one two\n  three"},
		{"0123456789abcdef", 8, "  ", "01234567\n  89abcd\n  ef"},
		{"ä ö ü", 3, "", "ä ö\nü"},
		{"äöüäöü", 4, "", "äöüä\nöü"},
		{"ab cd", 1, "  ", "ab\n  c\n  d"},
	} {
		if got := Wrap(test.text, test.width, test.indent); got != test.want {
			t.Errorf("Wrap(%q, %d, %q) = %q, want %q", test.text, test.width, test.indent, got, test.want)
		}
	}
}

// Nothing is lost, nothing is added but line breaks and the indent, and no line is too long.
func TestWrapKeepsEveryLetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab ü.\n"))).Draw(t, "text")
		width := rapid.IntRange(3, 40).Draw(t, "width")
		got := Wrap(text, width, "  ")
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("%q has %d characters, want at most %d", line, n, width)
			}
		}
		letters := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if letters(got) != letters(text) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestTable(t *testing.T) {
	var table Table
	table.Right = []int{2}
	table.Row("name", "what it is", "count")
	table.Row("a", "short", 7)
	table.Row("and 12 more, which may be longer than the column")
	want := "name  what it is  count\n" +
		"a     short           7\n" +
		"and 12 more, which may be longer than the column\n"
	if got := table.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	narrow := Table{Width: 30, Indent: "  ", Right: []int{2}}
	narrow.Row("name", "what it is", "count")
	narrow.Row("a", "a text that does not fit", 12345)
	want = "  name  what it is       count\n" +
		"  a     a text that      12345\n" +
		"        does not fit\n"
	if got := narrow.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableNeverExceedsItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := Table{Right: []int{1}}
		cell := rapid.StringOf(rapid.RuneFrom([]rune("ab ü@.")))
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			switch rapid.IntRange(0, 2).Draw(t, "cells") {
			case 0:
				table.Row(cell.Draw(t, "alone"))
			case 1:
				table.Row(cell.Draw(t, "first"), rapid.Uint64().Draw(t, "number"))
			default:
				table.Row(cell.Draw(t, "first"), rapid.Uint64().Draw(t, "number"), cell.Draw(t, "third"), cell.Draw(t, "last"))
			}
		}
		for line := range strings.Lines(table.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > Columns || strings.HasSuffix(line, " ") {
				t.Fatalf("%q has %d characters", line, n)
			}
		}
	})
}

func TestParagraphs(t *testing.T) {
	got := Paragraphs("one\ntwo\n\n  as it\n   is\n\nthree four", 9)
	if want := "one two\n\n  as it\n   is\n\nthree\nfour"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColours(t *testing.T) {
	const said = "verdict  FAILED: a\n         b\nwarning: c\n  d\n\n  e\nFAIL f\nplain\nverdict  good\n"
	if got := (Palette{}).Lines(said); got != said {
		t.Errorf("without colours: %q", got)
	}
	want := "\x1b[31mverdict  FAILED: a\x1b[0m\n\x1b[31m         b\x1b[0m\n\x1b[33mwarning: c\x1b[0m\n\x1b[33m  d\x1b[0m\n\n  e\n" +
		"\x1b[31mFAIL\x1b[0m f\nplain\n\x1b[32mverdict  good\x1b[0m\n"
	if got := (Palette{on: true}).Lines(said); got != want {
		t.Errorf("with colours: %q, want %q", got, want)
	}
	if PaletteFor(&bytes.Buffer{}).on {
		t.Error("what is no file is painted")
	}
}
