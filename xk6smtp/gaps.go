package xk6smtp

import (
	"slices"
	"strconv"
	"strings"
)

// gaps is a text with gaps that a message's fields fill, cut once. The values are never looked at for markers.
type gaps struct{ parts []gap }

// gap is text and the number of the field behind it.
type gap struct {
	text  string
	field int // -1: none
}

// cutGaps cuts a text where markers stand; the field of markers[i] has number i.
func cutGaps(s string, markers []string) gaps {
	var g gaps
	for {
		at, field := len(s), -1
		for i, marker := range markers {
			if n := strings.Index(s, marker); n >= 0 && n < at {
				at, field = n, i
			}
		}
		g.parts = append(g.parts, gap{s[:at], field})
		if field < 0 {
			return g
		}
		s = s[at+len(markers[field]):]
	}
}

// open reports whether there is any gap.
func (g gaps) open() bool { return len(g.parts) > 1 }

// uses reports whether a gap is field's.
func (g gaps) uses(field int) bool {
	return slices.ContainsFunc(g.parts, func(p gap) bool { return p.field == field })
}

// fill returns the text with values in the gaps, in the fields' order.
func (g gaps) fill(values []string) string {
	if !g.open() {
		return g.parts[0].text
	}
	return g.join(func(field int) string { return values[field] })
}

// join is fill with whatever is to stand in the gaps.
func (g gaps) join(value func(field int) string) string {
	var text strings.Builder
	for _, p := range g.parts {
		text.WriteString(p.text)
		if p.field >= 0 {
			text.WriteString(value(p.field))
		}
	}
	return text.String()
}

// standIns are words that take the place of n markers in text that has to be parsed or encoded: letters and digits, which stand for
// themselves in addresses, in encoded words (RFC 2047) and in quoted-printable. text holds none of them, and none is part of another.
func standIns(n int, text string) []string {
	stem := "stormgap"
	for strings.Contains(text, stem) {
		stem += "z"
	}
	words := make([]string, n)
	for i := range words {
		words[i] = stem + strconv.Itoa(i) + "x"
	}
	return words
}
