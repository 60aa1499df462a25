package text

import (
	"io"
	"os"
	"strings"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
)

// Palette paints lines, or leaves them as they are: the zero value does.
type Palette struct{ on bool }

// PaletteFor returns a palette that paints if w is a terminal that wants colours: the environment has neither NO_COLOR (https://no-color.org) nor
// TERM=dumb.
func PaletteFor(w io.Writer) Palette {
	file, ok := w.(*os.File)
	return Palette{on: ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" &&
		(isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd()))}
}

// marks are the words by which a line is known, and its colour. The first that fits counts.
var marks = [...]struct {
	prefix string
	colour color.Attribute
}{
	{"FAILED", color.FgRed},
	{"NOT CLEAN", color.FgRed},
	{"not reconciled:", color.FgRed},
	{"verdict  FAILED", color.FgRed},
	{"verdict  interrupted", color.FgYellow},
	{"verdict  ", color.FgGreen},
	{"clean", color.FgGreen},
	{"self-check: not saturated", color.FgGreen},
	{"warning", color.FgYellow},
	{"WARNING", color.FgYellow},
	{"fewer ", color.FgYellow},
}

// Lines paints the lines that a reader must not miss: verdicts, warnings and failures, each with the indented lines that go on with it.
func (p Palette) Lines(s string) string {
	if !p.on {
		return s
	}
	var b strings.Builder
	var going *color.Color
	for line := range strings.Lines(s) {
		body := strings.TrimSuffix(line, "\n")
		if c := colourOf(body); c != nil {
			going = c
		} else if !strings.HasPrefix(body, " ") || strings.TrimSpace(body) == "" {
			going = nil
		}
		switch {
		case going != nil:
			b.WriteString(going.Sprint(body))
		default:
			b.WriteString(p.cells(body))
		}
		b.WriteString(line[len(body):])
	}
	return b.String()
}

func colourOf(line string) *color.Color {
	for _, m := range marks {
		if strings.HasPrefix(line, m.prefix) {
			return painter(m.colour)
		}
	}
	return nil
}

// cells paints the word that marks a failed check within a table.
func (p Palette) cells(line string) string {
	return strings.ReplaceAll(line, "FAIL ", painter(color.FgRed).Sprint("FAIL")+" ")
}

// Bad paints what went wrong.
func (p Palette) Bad(s string) string { return p.paint(s, color.FgRed) }

// Heading makes a heading stand out.
func (p Palette) Heading(s string) string { return p.paint(s, color.Bold) }

func (p Palette) paint(s string, a color.Attribute) string {
	if !p.on {
		return s
	}
	return painter(a).Sprint(s)
}

// painter paints whatever the library thinks of standard output: the palette has decided.
func painter(a color.Attribute) *color.Color {
	c := color.New(a)
	c.EnableColor()
	return c
}
