package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// TestTransaction: an envelope keeps what MAIL said, and of the recipients who were offered those who were accepted, each with his ORCPT.
func TestTransaction(t *testing.T) {
	tx := newTransaction(time.Second)
	defer tx.release()
	tx.open(&smtp.MailArgs{Path: []byte("a@s.example"), EnvID: []byte("id"), Body: smtp.Body8BitMIME}, false)
	rcpt := func(name string, accept, malformed bool) {
		address, orcpt := tx.offer(&smtp.RcptArgs{Path: []byte(name), ORcpt: []byte("rfc822;" + name)})
		if got := string(address) + " " + string(tx.bytes(orcpt)); got != name+" rfc822;"+name {
			t.Errorf("offered %q", got)
		}
		if accept {
			tx.accept(address, 7, 2*time.Second, malformed)
		} else {
			tx.withdraw(orcpt)
		}
	}
	rcpt("one@r.example", true, false)
	rcpt("two@r.example", false, false)
	rcpt("three@r.example", true, true)
	got := ""
	for i, address := range tx.addresses() {
		got += fmt.Sprintf("%s %s clear %v, ", address, tx.orcpt(i), tx.clear(i))
	}
	if want := "one@r.example rfc822;one@r.example clear true, three@r.example rfc822;three@r.example clear false, "; got != want {
		t.Errorf("the recipients are %s\nwant %s", got, want)
	}
	if string(tx.sender()) != "a@s.example" || string(tx.token()) != "id" || tx.started != time.Second || tx.body != smtp.Body8BitMIME {
		t.Errorf("MAIL said %s, %s, read after %v, body %v", tx.sender(), tx.token(), tx.started, tx.body)
	}
}

// TestChunks: from the first chunk on there are no more recipients; from the first that is refused on, no more chunks.
func TestChunks(t *testing.T) {
	type step = func(*transaction)
	chunk, doom := (*transaction).chunk, (*transaction).doom
	for _, tt := range []struct {
		name    string
		happens []step
		want    txState
	}{
		{"an envelope", nil, txEnvelope},
		{"a chunk", []step{chunk, chunk}, txChunks},
		{"a chunk that is refused", []step{chunk, doom}, txDoomed},
		{"one after it", []step{chunk, doom, chunk}, txDoomed},
		{"the first is refused", []step{doom}, txDoomed},
	} {
		tx := newTransaction(0)
		for _, f := range tt.happens {
			f(tx)
		}
		if tx.state != tt.want || tx.chunked() != (tt.want != txEnvelope) {
			t.Errorf("%s: state %d, chunked %v; want state %d", tt.name, tx.state, tx.chunked(), tt.want)
		}
		if tx.release(); tx.state != txEnvelope {
			t.Errorf("%s: state %d after release", tt.name, tx.state)
		}
	}
}
