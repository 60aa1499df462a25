package run

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// progress writes to the console: permanent lines, and a live line that a terminal overwrites and that others see once in a while.
// It is used by one goroutine at a time.
type progress struct {
	w        io.Writer
	terminal bool
	width    int
	live     bool      // a live line stands at the cursor
	last     time.Time // when a live line was last written
}

// sparse is how often a live line becomes a permanent one where there is no terminal.
const sparse = 10 * time.Second

// say writes a permanent line.
func (p *progress) say(format string, args ...any) {
	p.clear()
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(p.w, said(line))
	p.last = time.Now()
}

// update shows how far a leg is.
func (p *progress) update(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !p.terminal {
		if time.Since(p.last) >= sparse {
			p.say("%s", line)
		}
		return
	}
	if r := []rune(line); len(r) > p.width-1 {
		line = string(r[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.live = true
}

// clear removes the live line.
func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.live = false
	}
}

// count writes a number with separators: 12,345.
func count[T int | int64 | uint64](n T) string {
	return text.Count(n)
}

// said breaks a line that is longer than a terminal is wide: its first word, which says what it is about, stands alone in its columns.
func said(line string) string {
	const column = 9
	if utf8.RuneCountInString(line) <= text.Columns {
		return line
	}
	if len(line) > column && line[column-1] == ' ' {
		return strings.TrimSuffix(Labelled(strings.TrimSpace(line[:column]), line[column:]), "\n")
	}
	return text.Wrap(line, text.Columns, "         ")
}
