package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// body opens the body of a request that must be of one of these media types, with bounds on its size and on the time that it takes. A
// form, or text, which any page can have a browser send, is never among them.
func (s *Server) body(w http.ResponseWriter, r *http.Request, limit int64, wait time.Duration, types ...string) (io.ReadCloser, string, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(types, mediaType) {
		return nil, "", problem(api.MediaType, "Content-Type %q (want %s)", r.Header.Get("Content-Type"), strings.Join(types, " or "))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, "", problem(api.MediaType, "Content-Encoding %q (want none)", encoding)
	}
	if r.ContentLength > limit {
		return nil, "", tooLarge(limit)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(wait))
	return http.MaxBytesReader(w, r.Body, limit), mediaType, nil
}

// bodyRead takes back the deadline of the body: what the connection says afterwards may take its time.
func bodyRead(w http.ResponseWriter) { _ = http.NewResponseController(w).SetReadDeadline(time.Time{}) }

func tooLarge(limit int64) *api.Problem {
	if limit%(1<<20) != 0 {
		return problem(api.TooLarge, "the body is longer than %d octets", limit)
	}
	return problem(api.TooLarge, "the body is longer than %d MiB", limit>>20)
}

// bodyProblem says why a body could not be read.
func bodyProblem(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(api.BadRequest, "the body took too long")
	}
	return problem(api.BadRequest, "the body can't be read: %v", err)
}

// readBody returns the whole body.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, types ...string) (text []byte, mediaType string, err error) {
	in, mediaType, err := s.body(w, r, int64(s.cfg.Bounds.Body), bodyTimeout, types...)
	if err != nil {
		return nil, "", err
	}
	defer bodyRead(w)
	if text, err = io.ReadAll(in); err != nil {
		return nil, "", bodyProblem(err)
	}
	if mediaType == api.TypeJSON {
		return text, mediaType, checkSyntax(text)
	}
	return text, mediaType, nil
}

// checkSyntax refuses what is no JSON.
func checkSyntax(text []byte) error {
	var any json.RawMessage
	err := json.Unmarshal(text, &any)
	if err == nil {
		return nil
	}
	p := problem(api.BadRequest, "the body is no JSON: %v", err)
	var at *json.SyntaxError
	if errors.As(err, &at) {
		before := text[:min(max(at.Offset-1, 0), int64(len(text)))]
		column := len(before) - bytes.LastIndexByte(before, '\n')
		p.Errors = []api.Flaw{{Line: 1 + bytes.Count(before, []byte("\n")), Column: column, Message: printable(err.Error())}}
	}
	return p
}

// readJSON reads a body that is one object with these members and no others, into what the values point to. Names are as they are
// written, and each is given once at most.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, members map[string]any, needed ...string) error {
	text, _, err := s.readBody(w, r, api.TypeJSON)
	if err != nil {
		return err
	}
	return parseObject(text, members, needed...)
}

// parseObject does what readJSON says, of text that is JSON.
func parseObject(text []byte, members map[string]any, needed ...string) error {
	wrong := func(at, format string, args ...any) error {
		p := problem(api.InvalidRequest, format, args...)
		p.Errors = []api.Flaw{{Pointer: at, Message: p.Detail}}
		if _, valid, ok := strings.Cut(p.Detail, "(valid: "); ok {
			p.Errors[0].Valid = strings.TrimSuffix(valid, ")")
		}
		return p
	}
	valid := strings.Join(slices.Sorted(maps.Keys(members)), " ")
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return wrong("", "the body is no object (want one with the members: %s)", valid)
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return problem(api.BadRequest, "%v", err)
		}
		name, _ := t.(string)
		at := pointerOf(name)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return problem(api.BadRequest, "%v", err)
		}
		into, known := members[name]
		switch {
		case !known:
			return wrong(at, "unknown member %.64q (valid: %s)", name, valid)
		case seen[name]:
			return wrong(at, "%s is given twice", name)
		case string(value) == "null":
			return wrong(at, "%s is null (leave it out instead)", name)
		}
		seen[name] = true
		if err := json.Unmarshal(value, into); err != nil {
			return wrong(at, "%s: %s", name, mismatch(err))
		}
	}
	for _, name := range needed {
		if !seen[name] {
			return wrong("", "%s is missing", name)
		}
	}
	return nil
}

func pointerOf(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// mismatch words what encoding/json says of a value of the wrong type.
func mismatch(err error) string {
	var e *json.UnmarshalTypeError
	if errors.As(err, &e) {
		return fmt.Sprintf("a %s (want %v)", e.Value, e.Type)
	}
	return err.Error()
}
