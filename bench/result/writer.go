package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
)

// Writer writes a record as it comes: windows while the run lasts, everything else at its end. It belongs to one goroutine.
type Writer struct {
	out     *bufio.Writer
	windows int
}

// The order of a JSON object's members is free: windows come first, since they are known first.
const head = `{"schema":"` + Schema + `","client":{"windows":[`

// NewWriter begins a record. What is written goes out at once: a disk that is full shall stop a run before it begins.
func NewWriter(dst io.Writer) (*Writer, error) {
	w := &Writer{out: bufio.NewWriter(dst)}
	_, _ = w.out.WriteString(head) // Flush returns the error
	return w, w.out.Flush()
}

// Window appends a window.
func (w *Writer) Window(window *Window) error {
	text, err := encode(window)
	if err != nil {
		return err
	}
	if w.windows > 0 {
		_, _ = w.out.WriteString(",\n")
	}
	w.windows++
	_, _ = w.out.Write(text)
	return w.out.Flush()
}

// Finish writes the rest of the record, which must have a client part; the windows of that are not looked at.
func (w *Writer) Finish(r *Record) error {
	client := struct {
		Windows []Window `json:"windows,omitempty"` // in place of the client's
		*Client
	}{nil, r.Client}
	if client.Series == nil {
		c := *r.Client
		c.Series = []Series{}
		client.Client = &c
	}
	type record Record
	rest := struct {
		Schema string  `json:"schema,omitempty"` // in place of the record's
		Client *Client `json:"client,omitempty"`
		*record
	}{"", nil, (*record)(r)}
	for _, part := range []struct {
		before string
		value  any
	}{{"],\n", client}, {"},\n", rest}} {
		text, err := encode(part.value)
		if err != nil {
			return err
		}
		_, _ = w.out.WriteString(part.before)
		_, _ = w.out.Write(text[1 : len(text)-1])
	}
	_, _ = w.out.WriteString("}\n")
	return w.out.Flush()
}

// encode returns a value as JSON without the end of a line.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
