package learn

import (
	"strings"
	"testing"
)

func TestNormalise(t *testing.T) {
	n := newNormaliser("news+4711@shop.example", "jane.doe@dest.example")
	for _, test := range []struct{ said, want string }{
		{"<jane.doe@dest.example>: Recipient address rejected: User unknown", "<{{recipient}}>: Recipient address rejected: User unknown"},
		{"mailbox 'Jane.Doe' is full", "mailbox '{{local_part}}' is full"},
		{"no such user here, jane.doe", "no such user here, {{local_part}}"},
		{"janet.doel is not jane.doe1", "janet.doel is not ID"},
		{"alias <other> of someone@else.example", "alias <ADDRESS> of ADDRESS"},
		{"greylisted, retry in 287 seconds or 300s", "greylisted, retry in N seconds or Ns"},
		{"client [192.0.2.7] blocked, ip=2001:db8::1", "client [IP] blocked, ip=IP"},
		{"[TSS04] Messages from 192.0.2.1 deferred (S3150) #4.16.1 OFR005_104 OFR_416", "[TSS04] Messages from IP deferred (S3150) #4.16.1 OFR005_104 OFR_416"},
		{"see https://support.example/mail/answer/81126?p=NoSuchUser d2e1a72fcca58-7a3b.12 - gsmtp", "see https://support.example/mail/answer/81126?p=NoSuchUser ID - gsmtp"},
		{"see http://ip.example/query/192.0.2.1", "see http://ip.example/query/IP"},
		{"sender domain shop.example has no MX, see 5.7.26", "sender domain DOMAIN has no MX, see 5.7.26"},
		{"queued as 4XyZ12abCD", "queued as ID"},
		{"msgid <CAB1234@mail.example> seen 2026-11-27 12:00:01", "msgid <ADDRESS> seen N N:N:N"},
		{"a\x07b\u00fc", "a b"},
		{"sender news+4711@shop.example is {{queue_id}} {{nobody}}", "sender {{sender}} is ((queue_id)) ((nobody))"},
		{"rcpt=jane.doe@dest.example", "ADDRESS"},
		{"", ""},
	} {
		if got := n.line(test.said); got != test.want {
			t.Errorf("%q\nis %q\nnot %q", test.said, got, test.want)
		}
	}
	if got := newNormaliser("", "a@x.example").line("a mailbox <a> called 'a'"); got != "a mailbox <{{local_part}}> called '{{local_part}}'" {
		t.Error(got)
	}
}

// FuzzNormalise holds that the address and its local part are gone, and that what is normalised stays as it is.
func FuzzNormalise(f *testing.F) {
	f.Add("<jane.doe@dest.example>: jane.doe unknown")
	f.Add("https://jane.doe@x/?jane.doe=1&q=jane.doe#jane.doe")
	f.Add("JANE.DOE, \"jane.doe\"; x=jane.doe")
	f.Fuzz(func(t *testing.T, said string) {
		got := newNormaliser("s@x.example", "jane.doe@dest.example").line(said)
		low := strings.ToLower(got)
		for at := 0; ; at++ {
			i := strings.Index(low[at:], "jane.doe")
			if i < 0 {
				break
			}
			at += i
			if (at == 0 || !wordly(low[at-1])) && (at+8 == len(low) || !wordly(low[at+8])) {
				t.Errorf("%q is %q", said, got)
			}
		}
		if strings.ContainsRune(got, '@') && strings.Contains(strings.ToLower(said), "jane.doe@dest.example") && strings.Contains(low, "dest.example") {
			t.Errorf("%q is %q", said, got)
		}
	})
}
