package suites

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseCompact reads a server of testdata, whose head says how it is written.
func parseCompact(line string) (d dialogue, err error) {
	name, rest, _ := strings.Cut(line, " ")
	d.name = name
	var steps []step
	c := completer{}
	for _, item := range strings.Split(rest, ";") {
		item = strings.TrimSpace(item)
		times := 1
		if before, n, ok := strings.Cut(item, " x"); ok {
			if times, err = strconv.Atoi(n); err != nil {
				return d, fmt.Errorf("%s: %w", name, err)
			}
			item = before
		}
		for range times {
			switch {
			case item == "":
			case item == "eof":
				steps = append(steps, step{kind: leave})
			case item == "next":
				d.conns = append(d.conns, steps)
				steps = nil
			default:
				steps = append(steps, compactItem(item, &c)...)
			}
		}
		d.lmtp = d.lmtp || strings.HasPrefix(item, "LHLO")
	}
	d.conns = append(d.conns, steps)
	return d, nil
}

// compactItem reads what is heard, if anything, and what is said to it.
func compactItem(item string, c *completer) (steps []step) {
	words := strings.Fields(item)
	n := 0
	for n < len(words) && (!isReply(words[n]) || n == 1 && words[0] == "BDAT") {
		n++
	}
	greets := false
	switch command := strings.Join(words[:n], " "); {
	case command == "":
	case command == ".":
		steps = append(steps, step{kind: body})
	case command[0] == '*' && len(command) > 1:
		size, _ := strconv.Atoi(command[1:])
		steps = append(steps, step{kind: chunk, octets: bytes.Repeat([]byte("x"), size)})
	default:
		greets = strings.HasPrefix(command, "EHLO") || strings.HasPrefix(command, "LHLO")
		steps = append(steps, step{kind: hear, line: c.complete(command)})
	}
	if n == len(words) {
		return steps
	}
	for _, reply := range strings.Split(strings.Join(words[n:], " "), " | ") {
		reply, silence, _ := strings.Cut(reply, "+")
		if seconds, err := strconv.Atoi(silence); err == nil {
			steps = append(steps, step{kind: wait, wait: time.Duration(seconds) * time.Second})
		}
		if reply = strings.TrimSpace(reply); reply == "" {
			continue
		}
		code, text, _ := strings.Cut(reply, " ")
		code, lines, many := strings.Cut(code, "/")
		texts := []string{text}
		switch count, _ := strconv.Atoi(lines); {
		case greets:
			texts = append([]string{"Here I am"}, strings.Split(text, ",")...)
			if text == "" {
				texts = texts[:1]
			}
		case many:
			texts = nil
			for i := range count {
				texts = append(texts, fmt.Sprintf("Line %d of it", i+1))
			}
		case text == "":
			texts[0] = "Said " + code
		}
		var octets []byte
		for i, text := range texts {
			mark := byte('-')
			if i == len(texts)-1 {
				mark = ' '
			}
			octets = append(append(append(octets, code...), mark), text+"\r\n"...)
		}
		steps = append(steps, step{kind: say, octets: octets})
	}
	return steps
}

func isReply(word string) bool {
	if word[0] == '+' && len(word) > 1 {
		return true
	}
	code, _, _ := strings.Cut(word, "/")
	_, err := strconv.Atoi(code)
	return len(code) == 3 && err == nil
}
