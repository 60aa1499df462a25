package jsonl

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzScan: whatever the scanner takes is a JSON object, and its members have the shapes that encoding/json sees.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"b"}`, `{"a":1,"b":true,"c":null,"d":[1,{"x":"y"}]}`, `{"a":"\u00e9\ud800\n"}`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`, `[]`, `{"a":"`, `{"a":-0.5e+3}`, " {\"a\" : \"b\"} \r", `{"a":"\udc80"}`, "{\"\xff\":\"\xfe\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var scan Scanner
		if err := scan.Scan(bytes.Clone(line)); err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(line, &members); err != nil {
			t.Fatalf("%q is taken, and is no JSON object: %v", line, err)
		}
		for _, m := range scan.Members {
			if m.Val.Shape == ShapeString {
				text := AppendString(nil, string(m.Val.B))
				var again Scanner
				if err := again.Scan(append(append([]byte(`{"k":`), text...), '}')); err != nil || len(again.Members) != 1 || !bytes.Equal(again.Members[0].Val.B, m.Val.B) {
					t.Errorf("%q is written as %s, and read again as %q, %v", m.Val.B, text, again.Members, err)
				}
			} else if !json.Valid(m.Val.B) {
				t.Errorf("member %q has the value %q", m.Key, m.Val.B)
			}
		}
	})
}
