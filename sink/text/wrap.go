// Package text lays out what the programs print for people: paragraphs and tables that fit a terminal of 80 columns, and colours where the output
// is a terminal that wants them. It leaves out everything that reads input or knows what the figures mean.
package text

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Columns is the width that everything fits.
const Columns = 80

// Wrap breaks a text at its blanks so that each line has at most width characters (runes), and begins each line after the first with indent, which
// counts. A word that is longer than a line is broken. Runs of white space become one blank.
func Wrap(s string, width int, indent string) string {
	return strings.Join(wrapLines(s, width, indent), "\n")
}

func wrapLines(s string, width int, indent string) []string {
	width = max(width, utf8.RuneCountInString(indent)+1)
	var lines []string
	line, empty := "", true
	for _, word := range strings.Fields(s) {
		for {
			candidate := line + " " + word
			if empty {
				candidate = line + word
			}
			if utf8.RuneCountInString(candidate) <= width {
				line, empty = candidate, false
				break
			}
			if !empty {
				lines = append(lines, line)
				line, empty = indent, true
				continue
			}
			head, rest := cut(word, width-utf8.RuneCountInString(line))
			lines = append(lines, line+head)
			line, word = indent, rest
		}
	}
	if !empty || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// cut splits a word after n characters, n being 1 or more.
func cut(word string, n int) (head, rest string) {
	for i := range word {
		if n == 0 {
			return word[:i], word[i:]
		}
		n--
	}
	return word, ""
}

// Paragraphs wraps a text whose paragraphs are parted by empty lines. A paragraph whose first line begins with a blank stays as it is.
func Paragraphs(s string, width int) string {
	parts := strings.Split(strings.Trim(s, "\n"), "\n\n")
	for i, part := range parts {
		if !strings.HasPrefix(part, " ") {
			parts[i] = Wrap(part, width, "")
		}
	}
	return strings.Join(parts, "\n\n")
}

// Count writes a whole number in groups of thousands: 5,770.
func Count[N int | int64 | uint64](n N) string { return Group(fmt.Sprint(n)) }

// Group puts commas between the thousands of digits.
func Group(digits string) string {
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Counted writes a number of things: 1 unit, 5,770 units.
func Counted[N int | int64 | uint64](n N, noun string) string {
	return Count(n) + " " + Plural(n, noun)
}

// Plural returns a noun for a number of things: 1 connection, 2 connections.
func Plural[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// Durations writes the durations in a text without what is zero at their ends: 5m for 5m0s, 1h for 1h0m0s.
func Durations(s string) string {
	for _, unit := range [...]string{"m0s", "h0m"} {
		for i := strings.Index(s, unit); i >= 0; i = strings.Index(s, unit) {
			s = s[:i+1] + s[i+len(unit):]
		}
	}
	return s
}
