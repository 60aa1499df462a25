package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// maxLine bounds a line of events, in octets: a row with all that clients choose, escaped, is shorter.
const maxLine = 1 << 20

// Events passes on the events that there are; query has the parameters of GET /v1/events. An error of f ends it.
func (c *Client) Events(ctx context.Context, query url.Values, f func(api.Event) error) error {
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/events", query: query})
	if err != nil {
		return err
	}
	defer a.Body.Close()
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e api.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("the answer is no sink's: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// retry is how long Follow waits before it connects again.
const retry = time.Second

// Follow passes on events as they come, until the context ends or f returns an error, which is returned. When the connection breaks it
// goes on behind the last event. gap is told of events that are gone; nil: nobody. An error of the sink ends it when it is about the
// request; one of the connection doesn't, once there was one. ready, if not nil, is called whenever the sink has begun to stream.
func (c *Client) Follow(ctx context.Context, query url.Values, ready func(), f func(api.Event) error, gap func(api.Gap) error) error {
	last, connected := "", false
	for {
		err := c.stream(ctx, query, &last, func() {
			connected = true
			if ready != nil {
				ready()
			}
		}, f, gap)
		var p *api.Problem
		var ended *endedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &ended):
			return ended.err
		case errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests, !connected:
			return err
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endedError is an error of who is told of events.
type endedError struct{ err error }

func (e *endedError) Error() string { return e.err.Error() }

func (c *Client) stream(ctx context.Context, query url.Values, last *string, ready func(), f func(api.Event) error, gap func(api.Gap) error) error {
	header := http.Header{"Accept": {api.TypeStream}}
	if *last != "" {
		header.Set("Last-Event-ID", *last)
	}
	a, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/events", query: query, header: header})
	if err != nil {
		return err
	}
	defer a.Body.Close()
	ready()
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, maxLine)
	var id, kind string
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case len(line) == 0:
			if err := tell(id, kind, data, f, gap); err != nil {
				return &endedError{err}
			}
			if id != "" && kind != "" {
				*last = id
			}
			id, kind, data = "", "", nil
		case string(name) == "id":
			id = string(value)
		case string(name) == "event":
			kind = string(value)
		case string(name) == "data":
			data = bytes.Clone(value)
		}
	}
	return lines.Err()
}

// tell passes on what a stream has said.
func tell(id, kind string, data []byte, f func(api.Event) error, gap func(api.Gap) error) error {
	switch kind {
	case "":
		return nil
	case "gap":
		var g api.Gap
		if gap == nil || json.Unmarshal(data, &g) != nil {
			return nil
		}
		return gap(g)
	}
	return f(api.Event{ID: id, Row: data})
}
