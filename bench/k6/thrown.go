package k6

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Thrown is how iterations ended that did not come to their end: k6 counts them as complete and ends with status 0, and only its log
// tells of them.
type Thrown struct {
	Errors uint64 // iterations that a mistake in the script ended: a TypeError, a ReferenceError
	First  string // the first of these errors, in one line, with its place; without any, the first of the others
	Others uint64 // iterations that the script ended by itself, with throw or fail()
}

// maxLogLine bounds what is read of a line of the log: an error's text and stack fit in.
const maxLogLine = 64 << 10

// Thrown reads the log of a run that has ended. A log in a place or a format of the user's own tells nothing.
func (j *Job) Thrown() (Thrown, error) {
	log, err := os.Open(j.Stderr)
	if err != nil {
		return Thrown{}, err
	}
	defer log.Close()
	return readThrown(log)
}

func readThrown(log io.Reader) (t Thrown, err error) {
	lines := bufio.NewReaderSize(log, maxLogLine)
	for {
		line, err := lines.ReadSlice('\n')
		t.add(string(line))
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long one
			_, err = lines.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return t, fmt.Errorf("read k6's log: %w", err)
		}
	}
}

// add looks at a line of the log. The errors of iterations, and nothing else, are told with their scenario.
func (t *Thrown) add(line string) {
	var entry struct{ Level, Msg, Scenario, Executor string }
	if strings.HasPrefix(line, "{") { // K6_LOG_FORMAT=json
		if json.Unmarshal([]byte(line), &entry) != nil {
			return
		}
	} else if _, rest, found := strings.Cut(line, " level=error msg="); found {
		entry.Level = "error"
		entry.Msg, rest = value(rest)
		_, executor, _ := strings.Cut(rest, " executor=")
		_, scenario, _ := strings.Cut(rest, " scenario=")
		entry.Executor, _ = value(executor)
		entry.Scenario, _ = value(scenario)
	}
	if entry.Level != "error" || entry.Scenario == "" || entry.Executor == "" {
		return
	}
	text := firstLine(entry.Msg)
	switch name, _, _ := strings.Cut(text, ":"); name {
	case "TypeError", "ReferenceError", "RangeError", "SyntaxError":
		if t.Errors++; t.Errors == 1 {
			t.First = text
		}
	default:
		if t.Others++; t.First == "" {
			t.First = text
		}
	}
}

// value takes a value as logrus writes it, quoted where it needs quotes, and returns what follows it.
func value(line string) (text, rest string) {
	if quoted, err := strconv.QuotedPrefix(line); err == nil {
		if text, err = strconv.Unquote(quoted); err == nil {
			return text, line[len(quoted):]
		}
	}
	line = strings.TrimRight(line, "\n")
	if end := strings.IndexByte(line, ' '); end >= 0 {
		return line[:end], line[end:]
	}
	return line, ""
}

// place is where in the script an error's stack begins: file:///home/me/load.js:4:48(12).
var place = regexp.MustCompile(`\(file://[^)\n]*?([^/)\n]+:\d+:\d+)\(\d+\)\)`)

// firstLine returns the text of an error without its stack, but with the place in the script.
func firstLine(msg string) string {
	text, stack, _ := strings.Cut(strings.TrimPrefix(msg, "Uncaught (in promise) "), "\n")
	if at := place.FindStringSubmatch(stack); at != nil {
		text += " (" + at[1] + ")"
	}
	return text
}
