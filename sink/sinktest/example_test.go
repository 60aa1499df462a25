package sinktest_test

import (
	"fmt"
	"net/smtp"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// sendWithRetry is the code under test: it tries again when a server says "later".
func sendWithRetry(server, from, to string) (tries int, err error) {
	for tries = 1; tries <= 3; tries++ {
		if err = smtp.SendMail(server, nil, from, []string{to}, []byte("Subject: hello\r\n\r\nHello!\r\n")); err == nil {
			return tries, nil
		}
	}
	return tries - 1, err
}

// A test of code that sends mail: the sink defers each recipient's first attempt, as greylisting does, and says what it received.
func Example() {
	t, end := exampleTest() // in a test file: func TestRetry(t *testing.T), which needs no end
	defer end()

	var received sinktest.Received
	server := sinktest.Start(t, sinktest.Record(&received), sinktest.WithPlan(`
version: 1
rules:
  - name: not at first
    stage: rcpt
    match: {attempt: 1}
    reply: 450/4.2.0
`))
	tries, err := sendWithRetry(server.Addr("").String(), "a@example.org", "b@example.net")
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v; want 2", tries, err)
	}
	received.WaitDelivered(t, 1)
	for _, a := range received.Attempts() {
		fmt.Printf("%s -> %s: %d at %v, delivered: %v, by %q\n", a.Sender, a.Recipient, a.Code, a.Stage, a.Delivered, a.By)
	}
	// Output:
	// a@example.org -> b@example.net: 450 at rcpt, delivered: false, by "not at first"
	// a@example.org -> b@example.net: 250 at message, delivered: true, by ""
}

// A test that wants one mail to fail, in the middle of others, says so when it wants it.
func ExampleFailNext() {
	t, end := exampleTest()
	defer end()

	var received sinktest.Received
	server := sinktest.Start(t, sinktest.Record(&received))
	sinktest.FailNext(t, server, "x@example.net", "451/4.3.2")
	for _, to := range []string{"other@example.net", "x@example.net"} {
		tries, err := sendWithRetry(server.Addr("").String(), "a@example.org", to)
		fmt.Printf("%s after %d tries, error: %v\n", to, tries, err)
	}
	received.WaitDelivered(t, 2)
	fmt.Println(received.Attempts()[1].Code, received.Attempts()[1].By)
	// Output:
	// other@example.net after 1 tries, error: <nil>
	// x@example.net after 2 tries, error: <nil>
	// 451 n1
}
