package dsn

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// crlf makes a message of a text.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

const postfix = `Date: Sat, 31 Jan 2026 10:20:30 +0000 (UTC)
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Message-Id: <20260131102030.9F1A@mx.example>
To: s+run-1@src.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="9F1A.1769854830/mx.example"

This is a MIME-encapsulated message.

--9F1A.1769854830/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you.

--9F1A.1769854830/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Original-Envelope-Id: order+2B17
X-Postfix-Queue-ID: 9F1A

Final-Recipient: rfc822; r1@a.example
Original-Recipient: rfc822;r1+x@a.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user

Final-Recipient: (sic) rfc822 (comment); <r2@a.example>
Action: Failed (in the end)
Status: 4.4.7 (delivery time expired)

Final-Recipient: rfc822; r3@a.example
Status: 5.0.0

Final-Recipient: rfc822; r4@a.example
Action: delayed
Status: five

--9F1A.1769854830/mx.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

X-Storm-Id: run-1
Message-ID: <1@src.example>
Subject: hello

hello
--9F1A.1769854830/mx.example--
`

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader(crlf(postfix)))
	if err != nil {
		t.Fatal(err)
	}
	base := event.Notification{ID: "<20260131102030.9F1A@mx.example>", Token: "order+2B17", Sender: "s+run-1@src.example", StormID: "run-1", MessageID: "<1@src.example>"}
	want := []event.Notification{base, base, base, base}
	want[0].Recipient, want[0].Original, want[0].Action, want[0].Status = "r1@a.example", "r1+x@a.example", "failed", "5.1.1"
	want[1].Recipient, want[1].Action, want[1].Status = "r2@a.example", "failed", "4.4.7"
	want[2].Recipient, want[2].Action, want[2].Status, want[2].Malformed = "r3@a.example", "failed", "5.0.0", "no Action"
	want[3].Recipient, want[3].Action = "r4@a.example", "delayed"
	at := time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC)
	for i := range got {
		if !got[i].Time.Equal(at) {
			t.Errorf("time %v, want %v", got[i].Time, at)
		}
		got[i].Time = time.Time{}
		if got[i].Status == "" && strings.Contains(got[i].Malformed, "five") {
			got[i].Malformed = "" // in whatever words
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTornNotificationsTellWhatTheyCan(t *testing.T) {
	whole := crlf(postfix)
	torn := whole[:strings.Index(whole, "--9F1A.1769854830/mx.example\r\nContent-Description: Undelivered")]
	if got, err := Parse(strings.NewReader(torn)); err != nil || len(got) != 4 {
		t.Errorf("%d notifications, %v; want 4", len(got), err)
	}
}

// OpenSMTPD's notifications are multipart/mixed: they tell what they tell, and that they are not as they ought to be is told, too.
func TestANotificationOfAnotherMultipartType(t *testing.T) {
	const mixed = `To: s+1@src.test
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; opensmtpd.bench.test

Final-Recipient: rfc822; r1@dst.test
Action: failed
Status: 5.7.1

--b--
`
	got, err := Parse(strings.NewReader(crlf(mixed)))
	if err != nil || len(got) != 1 || got[0].Recipient != "r1@dst.test" || got[0].Action != "failed" || got[0].Status != "5.7.1" || got[0].Malformed != "multipart/mixed instead of multipart/report" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsNoNotification(t *testing.T) {
	for _, text := range []string{"Subject: x\n\nhello\n", "Content-Type: multipart/report\n\nx", strings.Replace(postfix, "message/delivery-status", "text/plain", 1)} {
		if got, err := Parse(strings.NewReader(crlf(text))); !errors.Is(err, ErrNoReport) {
			t.Errorf("%+v, %v; want ErrNoReport", got, err)
		}
	}
	for kind, part := range map[string]string{"disposition-notification": "message/disposition-notification", "Feedback-Report": "message/feedback-report"} {
		text := strings.NewReplacer("report-type=delivery-status", "report-type="+kind, "message/delivery-status", part).Replace(postfix)
		if got, err := Parse(strings.NewReader(crlf(text))); !errors.Is(err, ErrOtherReport) {
			t.Errorf("%s: %+v, %v; want ErrOtherReport", kind, got, err)
		}
	}
	if _, err := Parse(strings.NewReader("")); err == nil {
		t.Error("nothing is a notification")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(crlf(postfix)))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse(strings.NewReader(string(text)))
		if err == nil && len(got) == 0 {
			t.Error("no notification, and no error")
		}
	})
}
