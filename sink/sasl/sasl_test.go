package sasl_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/smtpstorm/xk6-smtp/sink/sasl"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

func provider() *sasl.Provider {
	return &sasl.Provider{
		Accounts: sasl.Acting{Accounts: sasl.Users{"ann": "secret", "bob": ""}, As: map[string][]string{"bob": {"*"}}},
		Hostname: "sink.test",
		Random:   rand.NewChaCha8([32]byte{1}),
	}
}

func start(t *testing.T, m sasl.Mechanism) session.AuthExchange {
	t.Helper()
	x, err := provider().Start(string(m), nil)
	if err != nil {
		t.Fatalf("start %s: %v", m, err)
	}
	return x
}

// step is one turn of a dialogue: what the client sends (nil: no initial response) and what must come back.
type step struct {
	response  []byte
	challenge string
	done      bool
	err       error
}

func b(s string) []byte { return []byte(s) }

func TestPasswordMechanisms(t *testing.T) {
	for _, tc := range []struct {
		name      string
		mechanism sasl.Mechanism
		steps     []step
		user      string
	}{
		{"plain, initial response", sasl.Plain, []step{{b("\x00ann\x00secret"), "", true, nil}}, "ann"},
		{"plain, after an empty challenge", sasl.Plain, []step{{nil, "", false, nil}, {b("\x00ann\x00secret"), "", true, nil}}, "ann"},
		{"plain, same authorization identity", sasl.Plain, []step{{b("ann\x00ann\x00secret"), "", true, nil}}, "ann"},
		{"plain, an authorization identity that it may have", sasl.Plain, []step{{b("ann\x00bob\x00"), "", true, nil}}, "ann"},
		{"plain, other authorization identity", sasl.Plain, []step{{b("bob\x00ann\x00secret"), "", false, sasl.ErrCredentials}}, "ann"},
		{"plain, wrong password", sasl.Plain, []step{{b("\x00ann\x00wrong"), "", false, sasl.ErrCredentials}}, "ann"},
		{"plain, unknown user with an empty password", sasl.Plain, []step{{b("\x00eve\x00"), "", false, sasl.ErrCredentials}}, "eve"},
		{"plain, no separators", sasl.Plain, []step{{b("ann"), "", false, sasl.ErrSyntax}}, ""},
		{"login, prompts", sasl.Login, []step{{nil, "Username:", false, nil}, {b("ann"), "Password:", false, nil}, {b("secret"), "", true, nil}}, "ann"},
		{"login, initial response", sasl.Login, []step{{b("ann"), "Password:", false, nil}, {b("secret"), "", true, nil}}, "ann"},
		{"login, wrong password", sasl.Login, []step{{b("ann"), "Password:", false, nil}, {b("x"), "", false, sasl.ErrCredentials}}, "ann"},
		{"login, empty password", sasl.Login, []step{{b("bob"), "Password:", false, nil}, {b(""), "", true, nil}}, "bob"},
		{"cram-md5, initial response", sasl.CramMD5, []step{{b("ann 00"), "", false, sasl.ErrSyntax}}, ""},
		{"xoauth2", sasl.XOAuth2, []step{{b("user=ann\x01auth=Bearer secret\x01\x01"), "", true, nil}}, "ann"},
		{"xoauth2, wrong token", sasl.XOAuth2, []step{
			{b("user=ann\x01auth=Bearer no\x01\x01"), `{"status":"401","schemes":"bearer","scope":"https://mail.example/"}`, false, nil},
			{b(""), "", false, sasl.ErrCredentials},
		}, "ann"},
		{"xoauth2, not OAuth", sasl.XOAuth2, []step{{b("ann"), "", false, sasl.ErrSyntax}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := start(t, tc.mechanism)
			for i, s := range tc.steps {
				challenge, done, err := x.Next(s.response)
				if string(challenge) != s.challenge || done != s.done || !errors.Is(err, s.err) {
					t.Fatalf("step %d, client sent %q: challenge %q, done %v, error %v; want %q, %v, %v", i+1, s.response, challenge, done, err, s.challenge, s.done, s.err)
				}
			}
			if x.User() != tc.user {
				t.Errorf("user %q, want %q", x.User(), tc.user)
			}
		})
	}
}

func TestCramMD5(t *testing.T) {
	answer := func(challenge []byte, user, password string) []byte {
		mac := hmac.New(md5.New, []byte(password))
		mac.Write(challenge)
		return fmt.Appendf(nil, "%s %x", user, mac.Sum(nil))
	}
	for _, tc := range []struct {
		user, password string
		want           error
	}{{"ann", "secret", nil}, {"ann", "wrong", sasl.ErrCredentials}, {"eve", "", sasl.ErrCredentials}} {
		x := start(t, sasl.CramMD5)
		challenge, _, err := x.Next(nil)
		if err != nil || !bytes.HasSuffix(challenge, []byte("@sink.test>")) {
			t.Fatalf("challenge %q, error %v", challenge, err)
		}
		_, done, err := x.Next(answer(challenge, tc.user, tc.password))
		if !errors.Is(err, tc.want) || done != (tc.want == nil) {
			t.Errorf("user %s, password %s: done %v, error %v; want error %v", tc.user, tc.password, done, err, tc.want)
		}
	}
	other := start(t, sasl.CramMD5)
	if _, _, err := other.Next(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Next(b("no-digest")); !errors.Is(err, sasl.ErrSyntax) {
		t.Errorf("response without a digest: error %v, want %v", err, sasl.ErrSyntax)
	}
}

// TestCramMD5Vector is the example of RFC 2195 section 2.
func TestCramMD5Vector(t *testing.T) {
	mac := hmac.New(md5.New, b("tanstaaftanstaaf"))
	mac.Write(b("<1896.697170952@postoffice.reston.mci.net>"))
	if got := fmt.Sprintf("%x", mac.Sum(nil)); got != "b913a602c7eda7a495b4e6e7334d3890" {
		t.Errorf("digest %s", got)
	}
}

// channel is a TLS connection with one channel binding.
type channel struct{ kind, data string }

func (c channel) Binding(kind string) []byte {
	if kind != c.kind {
		return nil
	}
	return []byte(c.data)
}

// TestScram has a client of another making talk to each variant, bound to a channel or not.
func TestScram(t *testing.T) {
	none := scram.ChannelBinding{}
	exporter := func(data string) scram.ChannelBinding {
		return scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: []byte(data)}
	}
	tls := channel{"tls-exporter", "secret of both"}
	for _, tt := range []struct {
		name      string
		mechanism sasl.Mechanism
		channel   session.Channel
		client    scram.ChannelBinding
		identity  string
		want      error
		user      string
	}{
		{"SHA-1", sasl.ScramSHA1, nil, none, "", nil, "ann"},
		{"SHA-256", sasl.ScramSHA256, nil, none, "", nil, "ann"},
		{"SHA-1, bound", sasl.ScramSHA1Plus, tls, exporter("secret of both"), "", nil, "ann"},
		{"SHA-256, bound", sasl.ScramSHA256Plus, tls, exporter("secret of both"), "", nil, "ann"},
		{"bound to another channel", sasl.ScramSHA256Plus, tls, exporter("secret of others"), "", sasl.ErrCredentials, "ann"},
		{"bound by what the channel hasn't", sasl.ScramSHA256Plus, channel{"tls-unique", "x"}, exporter("x"), "", sasl.ErrCredentials, ""},
		{"not bound where it must be", sasl.ScramSHA256Plus, tls, none, "", sasl.ErrCredentials, ""},
		{"bound where there is no channel", sasl.ScramSHA256, nil, exporter("x"), "", sasl.ErrCredentials, ""},
		{"as somebody else", sasl.ScramSHA256, nil, none, "bob", nil, "bob"},
		{"as somebody who may not be", sasl.ScramSHA256, nil, none, "eve", sasl.ErrCredentials, "ann"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hash := scram.SHA256
			if tt.mechanism == sasl.ScramSHA1 || tt.mechanism == sasl.ScramSHA1Plus {
				hash = scram.SHA1
			}
			client, err := hash.NewClient("ann", "secret", tt.identity)
			if err != nil {
				t.Fatal(err)
			}
			c := client.NewConversation()
			if tt.client.IsSupported() {
				c = client.NewConversationWithChannelBinding(tt.client)
			}
			p := provider()
			p.Accounts = sasl.Acting{Accounts: p.Accounts, As: map[string][]string{"ann": {"bob"}}}
			x, err := p.Start(string(tt.mechanism), tt.channel)
			if err != nil {
				t.Fatal(err)
			}
			message, err := c.Step("")
			done := false
			for i := 0; err == nil && !done && i < 4; i++ {
				var challenge []byte
				if challenge, done, err = x.Next([]byte(message)); err == nil && !done && !c.Done() {
					message, err = c.Step(string(challenge))
				}
			}
			if !errors.Is(err, tt.want) || done != (tt.want == nil) || x.User() != tt.user {
				t.Errorf("user %q, done %v, error %v; want %q, error %v", x.User(), done, err, tt.user, tt.want)
			}
			if tt.want == nil && !c.Valid() {
				t.Error("the client did not accept the server's signature")
			}
		})
	}
}

// A client that binds where it can, and has seen no mechanism that does, was lied to.
func TestScramDowngrade(t *testing.T) {
	for _, tt := range []struct {
		channel session.Channel
		want    error
	}{{channel{"tls-server-end-point", "x"}, sasl.ErrCredentials}, {nil, nil}} {
		x, err := provider().Start(string(sasl.ScramSHA256), tt.channel)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.Next(b("y,,n=ann,r=abc")); !errors.Is(err, tt.want) {
			t.Errorf("channel %v: error %v, want %v", tt.channel, err, tt.want)
		}
	}
}

func TestScramSHA256(t *testing.T) {
	for _, tc := range []struct {
		user, password string
		want           error
	}{{"ann", "secret", nil}, {"ann", "wrong", sasl.ErrCredentials}, {"eve", "x", sasl.ErrCredentials}} {
		client, err := scram.SHA256.NewClient(tc.user, tc.password, "")
		if err != nil {
			t.Fatal(err)
		}
		conversation := client.NewConversation()
		message, err := conversation.Step("")
		if err != nil {
			t.Fatal(err)
		}
		x := start(t, sasl.ScramSHA256)
		done := false
		for i := 0; err == nil && !done && i < 4; i++ {
			var challenge []byte
			challenge, done, err = x.Next([]byte(message))
			if err == nil && !done && !conversation.Done() {
				if message, err = conversation.Step(string(challenge)); err != nil {
					t.Fatalf("the client rejects %q: %v", challenge, err)
				}
			}
		}
		if !errors.Is(err, tc.want) || done != (tc.want == nil) || x.User() != tc.user {
			t.Errorf("user %s, password %s: user %q, done %v, error %v; want error %v", tc.user, tc.password, x.User(), done, err, tc.want)
		}
		if tc.want == nil && !conversation.Valid() {
			t.Error("the client did not accept the server's signature")
		}
	}
	if _, _, err := start(t, sasl.ScramSHA256).Next(b("garbage")); !errors.Is(err, sasl.ErrSyntax) {
		t.Errorf("garbage: error %v, want %v", err, sasl.ErrSyntax)
	}
}

// FuzzExchange: no response, of any mechanism, at any step, panics or authenticates without the password.
func FuzzExchange(f *testing.F) {
	f.Add(uint8(0), b("n,,n=ann,r=x"), b("c=biws,r=x,p=AAAA"))
	f.Add(uint8(2), b("\x00ann\x00x"), b(""))
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		p := provider()
		p.Accounts = sasl.Users{}
		all := sasl.Mechanisms()
		x, err := p.Start(string(all[int(which)%len(all)]), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, response := range [][]byte{first, second, nil} {
			_, done, err := x.Next(response)
			if done {
				t.Fatalf("authenticated as %q with %q, %q", x.User(), first, second)
			}
			if err != nil {
				if !errors.Is(err, sasl.ErrCredentials) && !errors.Is(err, sasl.ErrSyntax) {
					t.Fatalf("error of no class: %v", err)
				}
				return
			}
		}
	})
}
