package session_test

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/smtpstorm/xk6-smtp/sink/session"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// response says a line and returns the reply's code and, of a 334, the challenge.
func response(t *testing.T, p *sinktest.SessionConn, line string) (code, challenge string) {
	t.Helper()
	if err := p.Send([]byte(line + "\r\n")); err != nil {
		t.Fatal(err)
	}
	code, text, _ := strings.Cut(strings.TrimSpace(string(p.Output())), " ")
	if code == "334" {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatalf("challenge %q: %v", text, err)
		}
		text = string(decoded)
	}
	return code, text
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestMechanisms lets a client in by each mechanism that EHLO announces, and keeps one with a wrong password out.
func TestMechanisms(t *testing.T) {
	for _, password := range []string{"secret", "wrong"} {
		want, user := "235", "ann"
		if password == "wrong" {
			want, user = "535", ""
		}
		for name, run := range map[string]func(t *testing.T, p *sinktest.SessionConn) string{
			"PLAIN": func(t *testing.T, p *sinktest.SessionConn) string {
				code, _ := response(t, p, "AUTH PLAIN "+encode("\x00ann\x00"+password))
				return code
			},
			"LOGIN": func(t *testing.T, p *sinktest.SessionConn) string {
				response(t, p, "AUTH LOGIN")
				response(t, p, encode("ann"))
				code, _ := response(t, p, encode(password))
				return code
			},
			"CRAM-MD5": func(t *testing.T, p *sinktest.SessionConn) string {
				_, challenge := response(t, p, "AUTH CRAM-MD5")
				mac := hmac.New(md5.New, []byte(password))
				mac.Write([]byte(challenge))
				code, _ := response(t, p, encode(fmt.Sprintf("ann %x", mac.Sum(nil))))
				return code
			},
			"XOAUTH2": func(t *testing.T, p *sinktest.SessionConn) string {
				code, text := response(t, p, "AUTH XOAUTH2 "+encode("user=ann\x01auth=Bearer "+password+"\x01\x01"))
				if code == "334" && strings.Contains(text, `"status":"401"`) {
					code, _ = response(t, p, "")
				}
				return code
			},
			"SCRAM-SHA-256": func(t *testing.T, p *sinktest.SessionConn) string { return scramDialogue(t, p, password) },
		} {
			t.Run(name+" "+password, func(t *testing.T) {
				v := &verdicts{}
				p := sinktest.NewSessionConn(setup(t, "--auth", "ann:secret"), &session.Env{Recorder: v})
				say(t, p, "EHLO c")
				if got := run(t, p); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := say(t, p, "QUIT"); got != "221" || v.connection.User != user {
					t.Errorf("after AUTH, QUIT got %s, and the user is %q; want 221, %q", got, v.connection.User, user)
				}
			})
		}
	}
}

func scramDialogue(t *testing.T, p *sinktest.SessionConn, password string) string {
	t.Helper()
	client, err := scram.SHA256.NewClient("ann", password, "")
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewConversation()
	message, err := c.Step("")
	if err != nil {
		t.Fatal(err)
	}
	code, challenge := response(t, p, "AUTH SCRAM-SHA-256 "+encode(message))
	for code == "334" {
		if message, err = c.Step(challenge); err != nil {
			t.Fatalf("the client rejects %q: %v", challenge, err)
		}
		code, challenge = response(t, p, encode(message))
	}
	if code == "235" && !c.Valid() {
		t.Error("the client did not accept the server's signature")
	}
	return code
}

// broken is a session.Authenticator that can't begin.
type broken struct{}

func (broken) Mechanisms() []string { return []string{"X"} }
func (broken) Start(string, session.Channel) (session.AuthExchange, error) {
	return nil, errors.New("no randomness")
}

// TestExchangesEnd: an exchange ends with whatever ends the dialogue about it, and leaves nothing behind.
func TestExchangesEnd(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		{"a bad line", "AUTH LOGIN\r\nbad\x00line\r\nNOOP", "334 500 250"},
		{"cancelled", "AUTH LOGIN\r\n*\r\nNOOP", "334 501 250"},
		{"a line that is too long", "AUTH LOGIN\r\n" + strings.Repeat("x", 13000) + "\r\nNOOP", "334 500 250"},
		{"refused", "AUTH LOGIN\r\n!\r\nNOOP", "334 501 250"},
		{"before EHLO", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := sinktest.NewSessionConn(setup(t, "--auth", "ann:secret"), nil)
			if tt.lines == "" {
				if got := say(t, p, "HELO c", "AUTH LOGIN"); got != "220 250 503" {
					t.Errorf("got %s, want AUTH refused before EHLO", got)
				}
				return
			}
			say(t, p, "EHLO c")
			if got := say(t, p, strings.Split(tt.lines, "\r\n")...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !p.Session.AtRest() {
				t.Error("the session still owns something")
			}
		})
	}
	p := sinktest.NewSessionConn(setup(t), &session.Env{Auth: broken{}})
	if got := say(t, p, "EHLO c", "AUTH X", "NOOP"); got != "220 250 454 250" {
		t.Errorf("an exchange that can't begin got %s, want 454", got)
	}
	p = sinktest.NewSessionConn(setup(t, "--auth", "ann:secret"), nil)
	say(t, p, "EHLO c", "AUTH LOGIN")
	if err := p.CloseWrite(); err != nil || !p.Closed() || !p.Session.AtRest() {
		t.Errorf("the client left in an exchange: closed %v, at rest %v, error %v", p.Closed(), p.Session.AtRest(), err)
	}
}
