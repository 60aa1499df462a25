package text

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is lines of cells, aligned in columns that two blanks part. It has at most Width characters in a line: where it would have more, the widest
// columns get narrower, and their cells go on in a line below. The zero value is an empty table of 80 columns.
//
// The last cell of a row that is shorter than others may be as wide as the rest of the line: it does not widen its column.
type Table struct {
	Width  int    // 0: Columns
	Indent string // before each line, as part of its width
	Right  []int  // columns that are flush right

	rows [][]string
}

const gap = "  "

// least is how narrow a column becomes for the sake of the others.
const least = 8

// Row adds a row of cells, each as fmt.Sprint writes it.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// Empty says whether no row was added.
func (t *Table) Empty() bool { return len(t.rows) == 0 }

// String renders the table; every line ends in a line break, and none in blanks.
func (t *Table) String() string {
	width := t.Width
	if width == 0 {
		width = Columns
	}
	width -= utf8.RuneCountInString(t.Indent)
	columns := t.fit(width)
	var b strings.Builder
	for _, row := range t.rows {
		t.writeRow(&b, row, columns, width)
	}
	return b.String()
}

// fit returns the width of each column.
func (t *Table) fit(width int) []int {
	var columns []int
	for _, row := range t.rows {
		for len(columns) < len(row) {
			columns = append(columns, 0)
		}
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if i < len(row)-1 || i == len(columns)-1 {
				columns[i] = max(columns[i], utf8.RuneCountInString(cell))
			}
		}
	}
	total := len(gap) * max(len(columns)-1, 0)
	for _, c := range columns {
		total += c
	}
	for total > width {
		widest := t.widest(columns, false)
		if widest < 0 {
			widest = t.widest(columns, true) // numbers are short: what is too wide there is a title
		}
		if widest < 0 {
			break
		}
		columns[widest]--
		total--
	}
	return columns
}

// widest returns the widest column that may be narrower, among those flush right or the others; -1 if there is none.
func (t *Table) widest(columns []int, right bool) int {
	widest := -1
	for i, c := range columns {
		if c > least && slices.Contains(t.Right, i) == right && (widest < 0 || c > columns[widest]) {
			widest = i
		}
	}
	return widest
}

func (t *Table) writeRow(b *strings.Builder, row []string, columns []int, width int) {
	cells := make([][]string, len(row))
	height, offset := 1, 0
	for i, cell := range row {
		room := columns[i]
		if i == len(row)-1 {
			room = max(width-offset, least)
			if i == len(columns)-1 {
				room = max(columns[i], 1)
			}
		}
		// A cell that fits stays as it is, its blanks included.
		cells[i] = []string{cell}
		if utf8.RuneCountInString(cell) > room {
			indent := cell[:len(cell)-len(strings.TrimLeft(cell, " "))]
			cells[i] = wrapLines(cell, room-len(indent), "")
			for j := range cells[i] {
				cells[i][j] = indent + cells[i][j]
			}
		}
		height = max(height, len(cells[i]))
		offset += columns[i] + len(gap)
	}
	for h := range height {
		var line strings.Builder
		line.WriteString(t.Indent)
		for i := range row {
			cell := ""
			if h < len(cells[i]) {
				cell = cells[i][h]
			}
			if i > 0 {
				line.WriteString(gap)
			}
			pad := strings.Repeat(" ", max(columns[i]-utf8.RuneCountInString(cell), 0))
			switch {
			case slices.Contains(t.Right, i):
				line.WriteString(pad + cell)
			case i == len(row)-1:
				line.WriteString(cell)
			default:
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
