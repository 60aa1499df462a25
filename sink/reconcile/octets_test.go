package reconcile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Addresses of any octets survive every file.
func TestOctetsSurvive(t *testing.T) {
	const odd = "r\xff\"é@a.example"
	r := &Result{Findings: []Finding{{Kind: KindLost, Evidence: []Evidence{{Leg: "mta", Token: "t\xfe", Recipient: odd, Note: "n\x80"}, {Note: "alone"}}}}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.Findings, r.Findings) {
		t.Errorf("%v: %+v became %+v in %s", err, r.Findings, back.Findings, text)
	}
	var got []string
	line := `{"queue_name":"deferred","queue_id":"4Z","arrival_time":1769854830,"sender":"s@x","recipients":[{"delay_reason":"\\","address":"r\udcff\"\u00e9@a.example"} , {"address":"r2@x"}]}`
	if err := ReadQueue(strings.NewReader(line), "q", func(q *QueueEntry) error { got = append(got, q.Recipient); return nil }); err != nil || !reflect.DeepEqual(got, []string{odd, "r2@x"}) {
		t.Errorf("%q, %v", got, err)
	}
	for bad, want := range map[string]string{
		`{"queue_id":"1","recipients":{}}`:                    `q:1: key "recipients": null, an object or an array where an array is due`,
		`{"queue_id":"1","recipients":["r"]}`:                 `q:1: key "recipients": a string where an object is due`,
		`{"queue_id":"1","recipients":[{"adress":"r"}]}`:      `q:1: key "recipients": missing`,
		`{"queue_id":"1","recipients":[{"address":"r"} {}]}`:  `q:1: key "recipients": no JSON value`,
		`{"queue_id":"1","sender":3,"recipients":[]}`:         `q:1: key "sender": a number where a string is due`,
		`{"queue_id":"1","arrival_time":"x","recipients":[]}`: `q:1: key "arrival_time": a string where a number is due`,
	} {
		if err := ReadQueue(strings.NewReader(bad), "q", func(*QueueEntry) error { return nil }); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}
