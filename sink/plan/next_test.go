package plan

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/fault"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// A plan as JSON is the same plan: all that are built in, and the whole format.
func TestPlansAsJSON(t *testing.T) {
	files, err := filepath.Glob("../../scripts/plans/*.yaml")
	storms, _ := filepath.Glob("../../scripts/plans/storms/*.yaml")
	if files = append(files, storms...); err != nil || len(files) < 20 {
		t.Fatalf("%d plans, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := JSON(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(name, encoded)
		if err != nil {
			t.Errorf("as JSON: %v", err)
			continue
		}
		if a, b := Encode(want.Spec), Encode(got.Spec); !bytes.Equal(a, b) {
			t.Errorf("%s: as JSON it is\n%s\nwant\n%s", name, b, a)
		}
	}
}

// Aliases in aliases make a little text a large plan: as JSON it is refused, not built.
func TestPlanThatIsTooLargeAsJSON(t *testing.T) {
	text := "version: 1\nname: &a " + strings.Repeat("x", 1<<16) + "\nrules:\n  - &r {stage: rcpt, reply: {code: 550, text: [*a, *a, *a, *a, *a, *a, *a, *a]}}\n" + strings.Repeat("  - *r\n", 20)
	if _, err := JSON([]byte(text)); !errors.Is(err, errLarge) {
		t.Errorf("%v, want %v", err, errLarge)
	}
}

func TestNextDocuments(t *testing.T) {
	n, err := ParseNext("body", []byte(`{"id": "one", "stage": "rcpt", "match": {"recipient": "x@a.test", "client": ["192.0.2.0/24"]}, "outcome": {"reply": "550/5.1.1", "delay": "2s"}, "times": 3, "ttl": "90s"}`))
	if err != nil {
		t.Fatal(err)
	}
	if n.ID != "one" || n.Stage != smtp.StageRcpt || n.Times != 3 || n.TTL != 90*time.Second || n.Outcome.Code != 550 || n.Outcome.Delay.IsZero() {
		t.Errorf("%+v", n)
	}
	if match, err := MatchJSON(&n.Match); err != nil || string(match) != `{"client":"192.0.2.0/24","recipient":"x@a.test"}` {
		t.Errorf("match %s, %v", match, err)
	}
	if _, err := fault.NewNext(n.NextSpec); err != nil {
		t.Error(err)
	}
	if n, err := ParseNext("body", []byte("{stage: noop, outcome: {close: fin}}")); err != nil || n.Times != 1 || n.TTL != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	for text, want := range map[string]string{
		`{"outcome": {}}`:   `body:1:1: stage: missing`,
		`{"stage": "rcpt"}`: `body:1:1: outcome: missing`,
		`{"stage": "rcpt", "outcome": {"weight": 2}}`:            `body:1:31: outcome: unknown key "weight"`,
		`{"stage": "rcpt", "outcome": {}, "times": "many"}`:      `body:1:43: times: invalid`,
		`{"stage": "rcpt", "match": {"to": "x"}, "outcome": {}}`: `body:1:29: match: unknown key "to"`,
		`{"stage": "dinner", "outcome": {}}`:                     `body:1:11: stage: `,
		`{"stage": "rcpt", "stage": "rcpt", "outcome": {}}`:      `body:1:19: stage: key is given twice`,
		`[]`: `body:1:1: a list (want a mapping`,
		`{"stage": "rcpt", "outcome": {"reply": 450, "text": "x"}}`: `unknown key "text"`,
	} {
		if _, err := ParseNext("body", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
