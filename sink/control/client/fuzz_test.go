package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// answering is a server that gives every request the same answer.
type answering struct {
	status int
	kind   string
	body   string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Header: http.Header{"Content-Type": {a.kind}, "Etag": {a.body}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

var errEnough = errors.New("enough")

// FuzzAnswers: whatever a server answers that may be no sink at all, the client comes back with a result or an error.
func FuzzAnswers(f *testing.F) {
	f.Add(200, api.TypeJSON, `{"epoch": 3}`)
	f.Add(200, api.TypeNDJSON, `{"id":"R-1","row":{"kind":"attempt"}}`+"\n"+`{"id":"R-2","row":1}`)
	f.Add(200, api.TypeStream, "id: R-1\nevent: attempt\ndata: {\"kind\":\"attempt\"}\n\nevent: gap\ndata: {\"from\":\"R-2\",\"to\":\"R-9\"}\n\n: comment\n\n")
	f.Add(409, api.TypeProblem, `{"type":"urn:smtpstorm:problem:wrong-state","status":409,"detail":"x"}`)
	f.Add(302, "text/html", "<html>")
	f.Add(200, api.TypeStream, "id: "+strings.Repeat("x", 2<<20))
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		if status < 200 || status > 999 {
			t.Skip("net/http gives no such answer")
		}
		c, err := New("127.0.0.1:1", Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = answering{status, kind, body}
		ctx := t.Context()
		failed := func(what string, err error) {
			var p *api.Problem
			if status >= 300 && err == nil || errors.As(err, &p) && p.Status != status {
				t.Errorf("%s: status %d, %v", what, status, err)
			}
		}
		_, err = c.Info(ctx)
		failed("Info", err)
		_, err = c.Plan(ctx)
		failed("Plan", err)
		_, err = c.PutPlan(ctx, nil, "*", false)
		failed("PutPlan", err)
		_, err = c.Stats(ctx, nil)
		failed("Stats", err)
		_, err = c.AddNext(ctx, api.Next{Outcome: json.RawMessage("{}")})
		failed("AddNext", err)
		_, err = c.Messages(ctx, nil)
		failed("Messages", err)
		_, err = c.Ledger(ctx, 3, io.Discard)
		failed("Ledger", err)
		failed("Events", c.Events(ctx, nil, func(api.Event) error { return nil }))
		last := ""
		_ = c.stream(ctx, nil, &last, func() {}, func(e api.Event) error {
			if strings.ContainsAny(e.ID, "\r\n") {
				t.Errorf("event %q", e.ID)
			}
			return nil
		}, func(api.Gap) error { return nil })
		if strings.ContainsAny(last, "\r\n") { // it goes into a header
			t.Errorf("goes on behind %q", last)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := c.Follow(ended, nil, nil, func(api.Event) error { return errEnough }, nil); err == nil {
			t.Error("a stream has ended well")
		}
	})
}
