package ledger

import (
	"bytes"
	"slices"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/jsonl"
)

// Needs says what of the rows Replay looks at: the rest of them is not read. Rows as this package writes them are assumed to be as it writes
// them to their end.
type Needs uint8

// The needs. They add up.
const (
	NeedCounts    Needs = 1 << iota // what a Restorer's Counters are told
	NeedSightings                   // what Restorer.Seen is told
	NeedStandings                   // what Restorer.Standings are told

	NeedRows Needs = 0 // all
)

// projection is what is read of the rows of a kind.
type projection struct {
	fields   uint64 // bits of rowFields
	last     int    // the last of these
	numbered bool   // an attempt without a number, as after a command that broke the protocol, has to be read whole
}

// projectionsFor returns what has to be read of the rows of a run, by kind; nil: all of it.
func projectionsFor(needs Needs, durability event.Durability) *[event.NumKinds]*projection {
	if needs == NeedRows {
		return nil
	}
	out := &[event.NumKinds]*projection{}
	nothing := []event.Kind{event.KindMessage, event.KindTold, event.KindPhase, event.KindStorm, event.KindGap, event.KindStop}
	if needs&NeedStandings == 0 {
		nothing = append(nothing, event.KindSwap, event.KindStanding)
	}
	if needs == NeedStandings {
		nothing = append(nothing, event.KindConnection, event.KindTransaction, event.KindAttempt)
	}
	for _, k := range nothing {
		out[k] = &projection{last: -1}
	}
	if needs == NeedStandings {
		return out
	}
	out[event.KindConnection] = projectionOf(event.KindConnection, "conn", "client")
	out[event.KindTransaction] = projectionOf(event.KindTransaction, "conn", "client", "message", "sender")
	switch {
	case durability == event.Ack: // rows may be amended
	case needs&NeedSightings == 0:
		out[event.KindAttempt] = projectionOf(event.KindAttempt, "conn", "client", "message", "sender", "recipient", "n")
		out[event.KindAttempt].numbered = true
	default:
		out[event.KindAttempt] = projectionOf(event.KindAttempt, "conn", "listener", "client", "time", "message", "phase", "sender", "recipient", "n", "stage", "cause")
	}
	return out
}

func projectionOf(kind event.Kind, keys ...string) *projection {
	p := &projection{}
	for _, key := range keys {
		p.last = fieldIndex(rowFields[kind], []byte(key))
		p.fields |= 1 << p.last
	}
	return p
}

// project reads of a row what is needed, and reports whether it could: not of one that is in any way unusual, which decode has to read.
func (d *decoder) project(line []byte, row *event.Row) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"kind":"`))
	if !ok || line[len(line)-1] != '}' {
		return false
	}
	name, rest, _ := bytes.Cut(rest, []byte{'"'})
	kind, err := event.ParseKind(name)
	if err != nil || d.projections[kind] == nil {
		return false
	}
	p, fields := d.projections[kind], rowFields[kind]
	reset(row, kind)
	for next := 0; next <= p.last; next++ {
		key, after, ok := cutKey(rest)
		if !ok {
			return string(rest) == "}" && !slices.ContainsFunc(fields[next:], func(f field) bool { return f.required })
		}
		val, after, ok := cutValue(after)
		if !ok {
			return false
		}
		for next < len(fields) && fields[next].key != string(key) {
			if fields[next].required {
				return false
			}
			next++
		}
		if next == len(fields) || p.fields&(1<<next) != 0 && fields[next].set(d, row, val) != nil {
			return false
		}
		rest = after
	}
	return !p.numbered || row.Attempt.N != 0
}

// cutKey takes a key: ,"key":
func cutKey(text []byte) (key, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != ',' || text[1] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(text[2:], '"') + 2
	if end < 2 || end+1 >= len(text) || text[end+1] != ':' {
		return nil, nil, false
	}
	return text[2:end], text[end+2:], true
}

// cutValue takes a value that needs no unescaping.
func cutValue(text []byte) (v jsonl.Value, rest []byte, ok bool) {
	if len(text) == 0 {
		return v, nil, false
	}
	switch c := text[0]; {
	case c == '"':
		end := 1
		for ; end < len(text) && text[end] != '"'; end++ {
			if c := text[end]; c == '\\' || c < ' ' || c >= 0x7f {
				return v, nil, false
			}
		}
		if end == len(text) {
			return v, nil, false
		}
		return jsonl.Value{Shape: jsonl.ShapeString, B: text[1:end:end]}, text[end+1:], true
	case c >= '1' && c <= '9':
		end := 1
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		return jsonl.Value{Shape: jsonl.ShapeNumber, B: text[:end:end]}, text[end:], true
	case bytes.HasPrefix(text, []byte("true")):
		return jsonl.Value{Shape: jsonl.ShapeBool, B: text[:4:4]}, text[4:], true
	case bytes.HasPrefix(text, []byte("false")):
		return jsonl.Value{Shape: jsonl.ShapeBool, B: text[:5:5]}, text[5:], true
	}
	return v, nil, false // the next key, or the end, has to follow
}
