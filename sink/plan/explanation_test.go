package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// The figures for programs are those of the text, and the chances of a message add up.
func TestExplanationOfShippedPlans(t *testing.T) {
	files, err := ShippedPlans()
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, path := range files {
		f, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		o := NewExplanation(f, Serving{})
		if _, err := json.Marshal(o); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var text bytes.Buffer
		if err := Explain(&text, f, Serving{}); err != nil {
			t.Fatal(err)
		}
		if want := len(f.Plan.Phases()) + 1; len(o.Periods) != want {
			t.Errorf("%s: %d periods, want %d", path, len(o.Periods), want)
		}
		for _, p := range o.Periods {
			for _, m := range p.Mail {
				for stage, odds := range m.Replies {
					sum := 0.0
					for _, share := range odds {
						sum += share
					}
					if math.Abs(sum-1) > 1e-9 {
						t.Errorf("%s, phase %q, %s, %s: the shares add up to %v", path, p.Phase, m.Mail, stage, sum)
					}
				}
				for _, c := range m.Chances {
					if math.Abs(c.Accepted+c.Deferred+c.Bounced-1) > 1e-9 {
						t.Errorf("%s, phase %q, %s: the chances %+v don't add up", path, p.Phase, m.Mail, c)
					}
					line := fmt.Sprintf("%d %s %s %s", c.Recipients, percent(c.Accepted), percent(c.Deferred), percent(c.Bounced))
					if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), line) {
						t.Errorf("%s: the text lacks %q", path, line)
					}
				}
			}
		}
	}
}

// A greylist defers each first attempt: the chances say so.
func TestExplanationOfAGreylist(t *testing.T) {
	f, err := Parse("grey.yaml", []byte("version: 1\nlimits: [{name: grey, kind: greylist, delay: 1m, window: 1h, except: {sender: \"<>\"}}]\n"+
		"rules: [{name: bad, stage: rcpt, match: {sender: \"<>\"}, outcomes: [{weight: 9}, {weight: 1, reply: 550}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	mail := NewExplanation(f, Serving{}).Periods[0].Mail
	if len(mail) != 2 || mail[0].Chances[0].Deferred != 1 || mail[0].Replies["rcpt"]["451"] != 1 || mail[1].Chances[0].Accepted != 0.9 {
		t.Errorf("%+v, want mail deferred, but for DSNs", mail)
	}
}
