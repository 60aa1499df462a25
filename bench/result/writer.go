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
	text    bytes.Buffer // of a value
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
	if w.windows > 0 {
		_, _ = w.out.WriteString(",\n")
	}
	w.windows++
	bare := *window
	bare.Series = nil
	if err := w.value(bare); err != nil {
		return err
	}
	for i := range window.Series { // one by one: there may be ten thousand
		separator := ","
		if i == 0 {
			separator = `,"series":[`
		}
		_, _ = w.out.WriteString(separator)
		if err := w.value(&window.Series[i]); err != nil {
			return err
		}
	}
	if len(window.Series) > 0 {
		_ = w.out.WriteByte(']')
	}
	_ = w.out.WriteByte('}')
	return w.out.Flush()
}

// value appends a value; of a window that has no series yet not its end.
func (w *Writer) value(v any) error {
	w.text.Reset()
	if err := encodeTo(&w.text, v); err != nil {
		return err
	}
	text := bytes.TrimSuffix(w.text.Bytes(), []byte("\n"))
	if _, open := v.(Window); open {
		text = text[:len(text)-1]
	}
	_, _ = w.out.Write(text)
	return nil
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
	err := encodeTo(&text, v)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

func encodeTo(dst io.Writer, v any) error {
	enc := json.NewEncoder(dst)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
