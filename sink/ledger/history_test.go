package ledger

import (
	"net/netip"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// history writes a ledger row by row: a readable way to say what the sink saw.
type history struct {
	buf  []byte
	time int
}

func (h *history) add(r event.Row) *history {
	h.buf = Append(h.buf, &r)
	return h
}

// run starts a run of the sink.
func (h *history) run() *history {
	return h.add(event.Row{Kind: event.KindStart, Start: event.Start{Time: at(h.time), Plan: "test", Durability: event.Batch}})
}

// attempt adds an attempt of message n of the connection, changed by the edits.
func (h *history) attempt(conn, n uint64, token, recipient string, code smtp.Code, edits ...func(*event.Attempt)) *history {
	h.time++
	a := event.Attempt{
		Conn: conn, Listener: "l", Client: netip.MustParseAddrPort("127.0.0.1:1"), Time: at(h.time), End: at(h.time), Message: n, Sender: []byte(token), Token: []byte(token),
		Recipient: []byte(recipient), Ending: event.EndReply, Stage: smtp.StageMessage, Code: code, Delivered: code.Class() == 2, ReplySent: true,
	}
	for _, edit := range edits {
		edit(&a)
	}
	return h.add(event.Row{Kind: event.KindAttempt, Attempt: a})
}

func (h *history) close(conn uint64) *history {
	return h.add(event.Row{Kind: event.KindConnection, Connection: event.Connection{Conn: conn, Listener: "l", Time: at(0), End: at(h.time), Reason: "quit"}})
}

func (h *history) mailRefused(conn, n uint64, token string, code smtp.Code) *history {
	return h.add(event.Row{Kind: event.KindTransaction, Transaction: event.Transaction{
		Conn: conn, Listener: "l", Time: at(h.time), End: at(h.time), Message: n, Sender: []byte(token), Token: []byte(token), Ending: event.EndReply, Stage: smtp.StageMail, Code: code, ReplySent: true,
	}})
}
