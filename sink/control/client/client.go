// Package client speaks the control API of a sink: what smtpsink ctl does, a test in Go can do.
//
//	sink, err := client.New("127.0.0.1:2580", client.Options{})
//	_, err = sink.AddNext(ctx, api.Next{Stage: "rcpt", Outcome: json.RawMessage(`{"reply": 450}`)})
//
// Errors of the sink are *api.Problem, whose Slug tells them apart.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// DefaultTimeout bounds a request that is neither a stream nor a download.
const DefaultTimeout = 30 * time.Second

// maxAnswer bounds a document that a sink answers with, in octets.
const maxAnswer = 64 << 20

// Options says how to speak to a sink.
type Options struct {
	Token   string         // empty: none
	Roots   *x509.CertPool // of https; nil: the system's
	Timeout time.Duration  // 0 means DefaultTimeout
}

// Client speaks to one sink. Its methods are safe for concurrent use.
type Client struct {
	base    string
	token   string
	timeout time.Duration
	http    *http.Client
}

// New returns a client of the sink at an address: host:port, http://host:port, https://host:port, or unix:/path. It connects to nobody
// yet.
func New(address string, o Options) (*Client, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, Proxy: nil}
	c := &Client{token: o.Token, timeout: o.Timeout, http: &http.Client{
		Transport: transport,
		// A sink redirects nobody, and whoever is not the sink shall not get its token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, errors.New("the path of the socket is empty (want unix:/path)")
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		c.base = "http://localhost"
		return c, nil
	}
	full := address
	if !strings.Contains(address, "://") {
		full = "http://" + address
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("invalid address %q (want host:port, https://host:port or unix:/path)", address)
	}
	c.base = u.Scheme + "://" + u.Host
	return c, nil
}

// Close ends connections that wait for another request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one request.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader
	bodyType     string
}

// do sends a request. The caller closes the body of the answer. An answer that is a problem is returned as an error.
func (c *Client) do(ctx context.Context, q request) (*http.Response, error) {
	target := c.base + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, q.body)
	if err != nil {
		return nil, err
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	if q.bodyType != "" {
		r.Header.Set("Content-Type", q.bodyType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	a, err := c.http.Do(r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // what is around it the caller knows
			err = failed.Err
		}
		return nil, err
	}
	if a.StatusCode < 300 {
		return a, nil
	}
	defer a.Body.Close()
	return nil, problemOf(a)
}

// problemOf returns what an answer says went wrong.
func problemOf(a *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	var p api.Problem
	if err != nil || !strings.HasPrefix(a.Header.Get("Content-Type"), api.TypeProblem) || json.Unmarshal(text, &p) != nil || p.Status != a.StatusCode {
		return fmt.Errorf("the answer is no sink's: %s", a.Status)
	}
	return &p
}

// call sends a request and decodes the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, q request, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if out == nil {
		return a.Header, nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = text
		return a.Header, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("the answer is no sink's: %w", err)
	}
	return a.Header, nil
}

// document makes a request with a JSON document.
func document(method, path string, v any) (request, error) {
	text, err := json.Marshal(v)
	return request{method: method, path: path, body: bytes.NewReader(text), bodyType: api.TypeJSON}, err
}

// send sends a document and decodes the answer.
func send[T any](ctx context.Context, c *Client, method, path string, v any) (out T, err error) {
	q, err := document(method, path, v)
	if err == nil {
		_, err = c.call(ctx, q, &out)
	}
	return out, err
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (out T, err error) {
	_, err = c.call(ctx, request{method: http.MethodGet, path: path, query: query}, &out)
	return out, err
}

// Info says which sink it is.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	return get[api.Info](ctx, c, "/v1", nil)
}

// Ready returns nil when the sink takes mail.
func (c *Client) Ready(ctx context.Context) error {
	_, err := get[api.Health](ctx, c, "/readyz", nil)
	return err
}

// Plan is the plan in force.
type Plan struct {
	Text       []byte // as it was written, YAML or JSON
	ETag       string
	Generation uint64
}

// Plan returns the plan in force.
func (c *Client) Plan(ctx context.Context) (p Plan, err error) {
	h, err := c.call(ctx, request{method: http.MethodGet, path: "/v1/plan", header: http.Header{"Accept": {api.TypeYAML}}}, &p.Text)
	if err == nil {
		p.ETag = h.Get("ETag")
		p.Generation, _ = strconv.ParseUint(h.Get(api.HeaderGeneration), 10, 64) // 0: it doesn't say
	}
	return p, err
}

// PutPlan puts a plan into force, YAML or JSON. match is the ETag of the plan that it shall replace, or * for whichever. With dry nothing is
// changed.
func (c *Client) PutPlan(ctx context.Context, text []byte, match string, dry bool) (out api.PlanChange, err error) {
	q := request{method: http.MethodPut, path: "/v1/plan", header: http.Header{"If-Match": {match}}, body: bytes.NewReader(text), bodyType: api.TypeYAML}
	if dry {
		q.query = url.Values{"dry-run": {"true"}}
	}
	_, err = c.call(ctx, q, &out)
	return out, err
}

// CheckPlan returns what the plan in force means, as JSON.
func (c *Client) CheckPlan(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/v1/plan/check", nil)
}

// Storm returns where the storm is.
func (c *Client) Storm(ctx context.Context) (api.Storm, error) {
	return get[api.Storm](ctx, c, "/v1/storm", nil)
}

// MoveStorm moves its clock.
func (c *Client) MoveStorm(ctx context.Context, m api.StormMove) (api.Storm, error) {
	return send[api.Storm](ctx, c, http.MethodPost, "/v1/storm", m)
}

// AddNext asks for the outcome of the next occurrences of a stage.
func (c *Client) AddNext(ctx context.Context, n api.Next) (api.NextStatus, error) {
	return send[api.NextStatus](ctx, c, http.MethodPost, "/v1/next", n)
}

// PutNext asks for it under an id, in the place of what has that id.
func (c *Client) PutNext(ctx context.Context, id string, n api.Next) (api.NextStatus, error) {
	return send[api.NextStatus](ctx, c, http.MethodPut, "/v1/next/"+url.PathEscape(id), n)
}

// Next returns what was asked for.
func (c *Client) Next(ctx context.Context) ([]api.NextStatus, error) {
	list, err := get[api.NextList](ctx, c, "/v1/next", nil)
	return list.Next, err
}

// RemoveNext takes one back; the empty id means all.
func (c *Client) RemoveNext(ctx context.Context, id string) error {
	path := "/v1/next"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	_, err := c.call(ctx, request{method: http.MethodDelete, path: path}, nil)
	return err
}

// Stats returns what was counted, with since the difference to an earlier answer of that sequence number.
func (c *Client) Stats(ctx context.Context, since *uint64) (api.Stats, error) {
	var query url.Values
	if since != nil {
		query = url.Values{"since": {strconv.FormatUint(*since, 10)}}
	}
	return get[api.Stats](ctx, c, "/v1/stats", query)
}

// Standings returns standings of reactions that are in force; query has the parameters of GET /v1/standings. Where Next is not empty there
// are more behind them.
func (c *Client) Standings(ctx context.Context, query url.Values) (api.Standings, error) {
	return get[api.Standings](ctx, c, "/v1/standings", query)
}

// Forgive ends the standing of a key by a reaction, as Standings names both.
func (c *Client) Forgive(ctx context.Context, react, key string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: "/v1/standings/" + segment(react) + "/" + segment(key)}, nil)
	return err
}

// segment is a name as one segment of a path. Nobody takes it for a way up.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// Messages returns messages that came; query has the parameters of GET /v1/messages.
func (c *Client) Messages(ctx context.Context, query url.Values) (api.Messages, error) {
	return get[api.Messages](ctx, c, "/v1/messages", query)
}

// Raw returns a captured message as it came.
func (c *Client) Raw(ctx context.Context, id string) (message []byte, err error) {
	_, err = c.call(ctx, request{method: http.MethodGet, path: "/v1/messages/" + url.PathEscape(id) + "/raw"}, &message)
	return message, err
}

// DeleteMessages throws away what was captured.
func (c *Client) DeleteMessages(ctx context.Context) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, path: "/v1/messages"}, nil)
	return err
}

// Reset begins an epoch: what is counts, state, next or capture.
func (c *Client) Reset(ctx context.Context, what ...string) (uint64, error) {
	e, err := send[api.Epoch](ctx, c, http.MethodPost, "/v1/reset", api.Reset{What: what})
	return e.Epoch, err
}

// Judge has the sink judge what became of claims, which are JSON Lines. ctx alone bounds how long that takes.
func (c *Client) Judge(ctx context.Context, claims io.Reader) (json.RawMessage, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: "/v1/judge", body: claims, bodyType: api.TypeNDJSON})
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	return io.ReadAll(io.LimitReader(a.Body, maxAnswer))
}

// Ledger writes the sink's ledger, from an octet on, and returns how many octets that were. ctx alone bounds how long that takes.
func (c *Client) Ledger(ctx context.Context, from int64, w io.Writer) (int64, error) {
	q := request{method: http.MethodGet, path: "/v1/ledger"}
	if from > 0 {
		q.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", from)}}
	}
	a, err := c.do(ctx, q)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	if from > 0 && a.StatusCode != http.StatusPartialContent {
		return 0, errors.New("the sink has not sent the range that was asked for")
	}
	return io.Copy(w, a.Body)
}
