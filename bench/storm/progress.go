package storm

import (
	"fmt"
	"io"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// progress writes to the console: lines that stay, and a live line that a terminal overwrites and that others see once in a while. It is
// used by one goroutine at a time.
type progress struct {
	w        io.Writer
	terminal bool
	width    int
	live     bool      // a live line stands at the cursor
	last     time.Time // when a live line was last written
}

// sparse is how often a live line becomes one that stays where there is no terminal.
const sparse = 10 * time.Second

func (p *progress) say(format string, args ...any) {
	p.clear()
	fmt.Fprintln(p.w, text.Wrap(fmt.Sprintf(format, args...), text.Columns, "         "))
	p.last = time.Now()
}

func (p *progress) update(line string) {
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

func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.live = false
	}
}
