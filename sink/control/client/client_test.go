package client_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/control"
	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/control/client"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

const (
	reading  = "read RHXJW3E4JEG2TSCO2SWHD6MJU4"
	writing  = "write 7BZ5QTMY3JKXW2VHOA4CNLD6EF"
	planText = "version: 1\nname: tested\nrules: [{name: busy, stage: rcpt, match: {recipient: '*@busy.test'}, reply: 450}]\nphases: [{name: one, duration: 1h}, {name: two, duration: 1h}]\nreact: [{name: seen once, of: network, when: {stage: ehlo}}]\n"
)

// token is the token in a line of a file of tokens.
func token(line string) string { return strings.Fields(line)[1] }

// served is a sink whose control API is served over TLS, and who may speak to it.
type served struct {
	server  *sink.Server
	address string // https://127.0.0.1:PORT
	roots   *x509.CertPool
	ledger  string
}

func serve(t *testing.T) served {
	t.Helper()
	s := served{ledger: filepath.Join(t.TempDir(), "ledger.jsonl")}
	file, err := plan.Parse("plan", []byte(planText))
	if err != nil {
		t.Fatal(err)
	}
	tail := sink.NewTail(0)
	s.server = sinktest.Start(t, sinktest.WithCapture(), sinktest.With(func(cfg *sink.Config) {
		cfg.Plan, cfg.PlanHash, cfg.PlanText, cfg.Observer, cfg.Ledger.Path = file.Plan, file.SHA256, file.Text, tail, s.ledger
	}))
	tokens, err := control.ParseTokens(strings.NewReader(reading+"\n"+writing), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	steered, err := control.New(control.Config{Sink: s.server, Tail: tail, KeepPorts: true, Tokens: tokens, Ledger: s.ledger})
	if err != nil {
		t.Fatal(err)
	}
	// A certificate for 127.0.0.1 that nobody trusts by himself.
	certified := httptest.NewTLSServer(nil)
	t.Cleanup(certified.Close)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(certified.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s.address = "https://" + l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- steered.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(steered.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *served) client(t *testing.T, line string) *client.Client {
	t.Helper()
	o := client.Options{Roots: s.roots}
	if line != "" {
		o.Token = token(line)
	}
	c, err := client.New(s.address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// send sends a message to a recipient, and returns the code that decided.
func (s *served) send(t *testing.T, to string) int {
	t.Helper()
	conn, err := net.Dial("tcp", s.server.Addr("").String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	last := 0
	in := make([]byte, 4096)
	for _, line := range []string{"", "EHLO c.test", "MAIL FROM:<a@client.test>", "RCPT TO:<" + to + ">", "DATA", "Subject: hello\r\n\r\nbody\r\n."} {
		if line != "" {
			if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		n, err := conn.Read(in) // each reply comes in one piece
		if err != nil || n < 3 {
			t.Fatalf("%q is answered %q, %v", line, in[:n], err)
		}
		if last = int(in[0]-'0')*100 + int(in[1]-'0')*10 + int(in[2]-'0'); last >= 400 {
			break
		}
	}
	return last
}

func slug(err error) string {
	var p *api.Problem
	if errors.As(err, &p) {
		return p.Slug()
	}
	return ""
}

// TestOverTLS: who does not know the certificate speaks to nobody, and a token has the right to what its role says, and no more.
func TestOverTLS(t *testing.T) {
	s, ctx := serve(t), t.Context()
	stranger, err := client.New(s.address, client.Options{Token: token(writing)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Info(ctx); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	plain, err := client.New(strings.Replace(s.address, "https", "http", 1), client.Options{Token: token(writing)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Info(ctx); err == nil {
		t.Error("it is served without TLS")
	}
	if _, err := s.client(t, "").Info(ctx); slug(err) != api.TokenNeeded {
		t.Errorf("without a token: %v", err)
	}
	if _, err := s.client(t, "read 0123456789ABCDEFGHIJKLMNOP").Info(ctx); slug(err) != api.TokenNeeded {
		t.Errorf("with a token that is none: %v", err)
	}
	reader := s.client(t, reading)
	if info, err := reader.Info(ctx); err != nil || info.API != api.Version || !info.Ledger || !info.Capture {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := reader.Reset(ctx, "counts"); slug(err) != api.Role {
		t.Errorf("who may read may reset: %v", err)
	}
	if _, err := s.client(t, writing).Reset(ctx, "counts"); err != nil {
		t.Errorf("who may write may not reset: %v", err)
	}

	// A page signs in over TLS: its cookie goes back over TLS alone.
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}}}
	defer h.CloseIdleConnections()
	r, err := h.Post(s.address+"/v1/session", api.TypeJSON, strings.NewReader(`{"token": "`+token(reading)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	cookies := r.Cookies()
	if r.StatusCode != http.StatusOK || len(cookies) != 1 || !strings.HasPrefix(cookies[0].Name, "__Host-") || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("%d %+v", r.StatusCode, cookies)
	}
	for _, signedIn := range []bool{true, false} {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+"/v1/stats", nil)
		if err != nil {
			t.Fatal(err)
		}
		if signedIn {
			q.AddCookie(cookies[0])
		}
		a, err := h.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if (a.StatusCode == http.StatusOK) != signedIn {
			t.Errorf("signed in: %v: status %d", signedIn, a.StatusCode)
		}
	}
}

// TestSteer does all that a client can have a sink do.
func TestSteer(t *testing.T) {
	s, ctx := serve(t), t.Context()
	c := s.client(t, writing)
	if err := c.Ready(ctx); err != nil {
		t.Error(err)
	}

	p, err := c.Plan(ctx)
	if err != nil || string(p.Text) != planText || p.Generation != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	other := []byte(strings.Replace(planText, "450", "451", 1))
	if change, err := c.PutPlan(ctx, other, p.ETag, true); err != nil || !change.DryRun {
		t.Errorf("%+v, %v", change, err)
	}
	if _, err := c.PutPlan(ctx, other, `"sha256:0"`, false); slug(err) != api.PlanChanged {
		t.Errorf("in the place of a plan that is not in force: %v", err)
	}
	if change, err := c.PutPlan(ctx, other, p.ETag, false); err != nil || change.Generation != 2 || change.DryRun {
		t.Errorf("%+v, %v", change, err)
	}
	if text, err := c.CheckPlan(ctx); err != nil || !bytes.Contains(text, []byte("tested")) {
		t.Errorf("%.200s, %v", text, err)
	}
	var refused *api.Problem
	if _, err := c.PutPlan(ctx, []byte("version: 1\nrulez: []\n"), "*", false); !errors.As(err, &refused) || refused.Slug() != api.InvalidPlan || len(refused.Errors) != 1 || refused.Errors[0].Line != 2 {
		t.Errorf("a plan that is none: %+v", err)
	}

	if at, err := c.MoveStorm(ctx, api.StormMove{Action: "jump", Phase: "two"}); err != nil || at.Phase != "two" {
		t.Errorf("%+v, %v", at, err)
	}
	if at, err := c.Storm(ctx); err != nil || at.State != "running" || at.Phase != "two" || len(at.Phases) != 2 {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := c.MoveStorm(ctx, api.StormMove{Action: "start"}); slug(err) != api.WrongState {
		t.Errorf("a storm that runs is started: %v", err)
	}

	before, err := c.Stats(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := api.Next{Stage: "rcpt", Match: json.RawMessage(`{"recipient": "b@client.test"}`), Outcome: json.RawMessage(`{"reply": "550/5.1.1"}`)}
	added, err := c.AddNext(ctx, asked)
	if err != nil || added.Remaining != 1 {
		t.Fatalf("%+v, %v", added, err)
	}
	if named, err := c.PutNext(ctx, "mine", asked); err != nil || named.ID != "mine" {
		t.Errorf("%+v, %v", named, err)
	}
	if err := c.RemoveNext(ctx, "mine"); err != nil {
		t.Error(err)
	}
	if err := c.RemoveNext(ctx, "mine"); slug(err) != api.NotFound {
		t.Errorf("taken back twice: %v", err)
	}
	codes := []int{s.send(t, "b@client.test"), s.send(t, "b@client.test"), s.send(t, "c@busy.test")}
	if !slices.Equal(codes, []int{550, 250, 451}) {
		t.Errorf("answered %v", codes)
	}
	if list, err := c.Next(ctx); err != nil || len(list) != 1 || list[0].ID != added.ID || list[0].Hits != 1 || string(list[0].Outcome) != `{"reply":"550/5.1.1"}` {
		t.Errorf("%+v, %v", list, err)
	}
	if err := c.RemoveNext(ctx, ""); err != nil {
		t.Error(err)
	}

	var after api.Stats
	testkit.Await(t, "the rows of three connections", func() bool {
		after, err = c.Stats(ctx, &before.Seq)
		return err != nil || after.Rows.Attempts == 3 && after.Rows.Connections == 3
	})
	if err != nil || after.Since != before.Seq || after.Rows.Deliveries != 1 {
		t.Errorf("%+v, %v", after.Rows, err)
	}
	if all, err := c.Standings(ctx, url.Values{"react": {"seen once"}}); err != nil || len(all.Standings) != 1 || all.Standings[0].Key != "127.0.0.0/24" || all.Standings[0].Until != nil {
		t.Errorf("standings: %+v, %v", all, err)
	}
	if err := c.Forgive(ctx, "seen once", "127.0.0.0/24"); err != nil {
		t.Errorf("forgiving: %v", err)
	}
	for _, key := range []string{"127.0.0.0/24", "..", "."} {
		if err := c.Forgive(ctx, "seen once", key); slug(err) != api.NotFound || !strings.Contains(err.Error(), "is in force for the key \""+key+"\"") {
			t.Errorf("forgiving %s, which has no standing: %v", key, err)
		}
	}
	found, err := c.Messages(ctx, url.Values{"recipient": {"b@client.test"}})
	if err != nil || len(found.Messages) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	kept := slices.IndexFunc(found.Messages, func(m api.Message) bool { return m.Captured })
	if kept < 0 {
		t.Fatalf("none is captured: %+v", found)
	}
	if raw, err := c.Raw(ctx, found.Messages[kept].ID); err != nil || !bytes.Contains(raw, []byte("Subject: hello\r\n\r\nbody")) {
		t.Errorf("%q, %v", raw, err)
	}
	if err := c.DeleteMessages(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Raw(ctx, found.Messages[kept].ID); slug(err) != api.NotFound {
		t.Errorf("a message that was thrown away: %v", err)
	}
	verdict, err := c.Judge(ctx, strings.NewReader(`{"token": "a@client.test", "recipient": "b@client.test", "ack": "yes"}`+"\n"))
	if err != nil || !bytes.Contains(verdict, []byte(`"units"`)) {
		t.Errorf("%.200s, %v", verdict, err)
	}
	if _, err := c.Judge(ctx, strings.NewReader("nonsense\n")); slug(err) != api.InvalidRequest {
		t.Errorf("claims that are none: %v", err)
	}
	if epoch, err := c.Reset(ctx, "counts", "next"); err != nil || epoch != 2 {
		t.Errorf("%d, %v", epoch, err)
	}
	if _, err := c.Reset(ctx); slug(err) == "" {
		t.Errorf("a reset of nothing: %v", err)
	}

	// The ledger whole, and from an octet on, is that on the disk.
	var whole, rest bytes.Buffer
	n, err := c.Ledger(ctx, 0, &whole)
	disk, _ := os.ReadFile(s.ledger)
	if err != nil || n != int64(whole.Len()) || n == 0 || !bytes.HasPrefix(disk, whole.Bytes()) {
		t.Errorf("%d octets of %d, %v", n, len(disk), err)
	}
	if _, err := c.Ledger(ctx, 10, &rest); err != nil || !bytes.HasPrefix(rest.Bytes(), whole.Bytes()[10:]) {
		t.Errorf("from an octet on: %d of %d, %v", rest.Len(), whole.Len(), err)
	}

	var kinds []string
	if err := c.Events(ctx, url.Values{"kind": {"attempt"}}, func(e api.Event) error { kinds = append(kinds, e.ID); return nil }); err != nil || len(kinds) != 3 {
		t.Errorf("events %v, %v", kinds, err)
	}
	enough := errors.New("enough")
	if err := c.Events(ctx, nil, func(api.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of who is told: %v", err)
	}
	if err := c.Events(ctx, url.Values{"kind": {"nonsense"}}, func(api.Event) error { return nil }); slug(err) == "" {
		t.Errorf("a filter that is none: %v", err)
	}
}

// TestFollow: a stream tells events as they come, goes on behind a break, and ends with the error of who is told.
func TestFollow(t *testing.T) {
	s, ctx := serve(t), t.Context()
	c := s.client(t, reading)
	enough := errors.New("enough")
	var seen []string
	sends := make(chan string, 1)
	ready := make(chan struct{}, 8)
	go func() {
		<-ready
		sends <- "first"
	}()
	followed := make(chan error, 1)
	go func() {
		followed <- c.Follow(ctx, url.Values{"kind": {"attempt"}}, func() { ready <- struct{}{} }, func(e api.Event) error {
			var row struct{ Recipient string }
			if err := json.Unmarshal(e.Row, &row); err != nil {
				return err
			}
			seen = append(seen, row.Recipient)
			if len(seen) == 2 {
				return enough
			}
			c.Close() // no more than an idle connection: the stream stays
			sends <- "second"
			return nil
		}, nil)
	}()
	for range 2 {
		s.send(t, <-sends+"@follow.test")
	}
	if err := <-followed; !errors.Is(err, enough) || !slices.Equal(seen, []string{"first@follow.test", "second@follow.test"}) {
		t.Errorf("%v, %v", seen, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Follow(ended, nil, nil, func(api.Event) error { return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended: %v", err)
	}
	if err := s.client(t, "").Follow(ctx, nil, nil, func(api.Event) error { return nil }, nil); slug(err) != api.TokenNeeded {
		t.Errorf("without a token: %v", err)
	}
}

// TestWhoIsNoSink: a server that is none gets no token by a redirection, and what it answers is an error.
func TestWhoIsNoSink(t *testing.T) {
	asked := make(chan string, 8)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{Token: token(writing)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "no sink's") {
		t.Errorf("a redirection: %v", err)
	}
	select {
	case header := <-asked:
		t.Errorf("the client has followed it, with %q", header)
	default:
	}
	for _, address := range []string{"", "host", "ftp://h:1", "http://h:1/path", "http://u:p@h:1", "unix:", "http://h:1?x", "http://:1", "h:1#x"} {
		if _, err := client.New(address, client.Options{}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("address %q: %v", address, err)
		}
	}
}

// TestUnixSocket: over a socket no token is needed.
func TestUnixSocket(t *testing.T) {
	tail := sink.NewTail(0)
	server := sinktest.Start(t, sinktest.With(func(cfg *sink.Config) { cfg.Observer = tail }))
	tokens, err := control.ParseTokens(strings.NewReader(reading), "tokens")
	if err != nil {
		t.Fatal(err)
	}
	steered, err := control.New(control.Config{Sink: server, Tail: tail, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- steered.Serve(l) }()
	defer func() {
		if err := errors.Join(steered.Close(), <-ended); err != nil {
			t.Error(err)
		}
	}()
	c, err := client.New("unix:"+path, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if epoch, err := c.Reset(t.Context(), "counts"); err != nil || epoch != 2 {
		t.Errorf("%d, %v", epoch, err)
	}
}
