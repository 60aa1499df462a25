package text

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Progress writes to the console how far long work is: permanent lines, and a live line that a terminal overwrites and that others see
// once in a while. It is used by one goroutine at a time.
type Progress struct {
	w        io.Writer
	terminal bool
	width    int
	live     bool      // a live line stands at the cursor
	last     time.Time // when a line was last written
}

// NewProgress returns one that writes to w, which may be a terminal of that many columns.
func NewProgress(w io.Writer, terminal bool, width int) *Progress {
	return &Progress{w: w, terminal: terminal, width: width, last: time.Now()}
}

// sparse is how often a live line becomes a permanent one where there is no terminal.
const sparse = 10 * time.Second

// Say writes a permanent line.
func (p *Progress) Say(format string, args ...any) {
	p.Clear()
	fmt.Fprintln(p.w, said(fmt.Sprintf(format, args...)))
	p.last = time.Now()
}

// Update shows how far the work is.
func (p *Progress) Update(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !p.terminal {
		if time.Since(p.last) >= sparse {
			p.Say("%s", line)
		}
		return
	}
	if r := []rune(line); len(r) > p.width-1 {
		line = string(r[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.live = true
}

// Clear removes the live line.
func (p *Progress) Clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.live = false
	}
}

// labelColumns is the width of the column in which Labelled puts its word.
const labelColumns = 9

// said breaks a line that is longer than a terminal is wide: its first word, which says what it is about, stands alone in its columns.
func said(line string) string {
	if utf8.RuneCountInString(line) <= Columns {
		return line
	}
	if len(line) > labelColumns && line[labelColumns-1] == ' ' {
		return strings.TrimSuffix(Labelled(strings.TrimSpace(line[:labelColumns]), line[labelColumns:]), "\n")
	}
	return Wrap(line, Columns, strings.Repeat(" ", labelColumns))
}

// Labelled writes a word and what there is to say beside it, in as many lines as it takes.
func Labelled(word, said string) string {
	var b strings.Builder
	for line := range strings.Lines(said) {
		line = Wrap(line, Columns-labelColumns, "")
		b.WriteString(fmt.Sprintf("%-*s", labelColumns, word) + strings.ReplaceAll(line, "\n", "\n"+strings.Repeat(" ", labelColumns)) + "\n")
		word = ""
	}
	return b.String()
}
