package xk6smtp

import (
	"fmt"
	"time"

	"go.k6.io/k6/v2/js/modules"
	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// Variables that are switches for all clients: see wants.
const (
	debugVariable     = "K6_SMTP_DEBUG"      // a transcript
	serverTagVariable = "K6_SMTP_SERVER_TAG" // the tag server
)

// maxTranscript bounds one call's transcript; what comes after is not kept.
const maxTranscript = 5000

// transcriptLine is a line of the dialogue as scripts see it.
type transcriptLine struct {
	At   float64 `js:"at"` // milliseconds since the call
	From string  `js:"from"`
	Text string  `js:"text"`
}

// trace is the client's Config.Trace: it keeps the lines of the call that is under way.
func (c *smtpClient) trace(e client.TraceEntry) {
	if len(c.lines) < maxTranscript {
		c.lines = append(c.lines, e)
	}
}

// transcript hands a call's lines to its result and to k6's log.
func (c *smtpClient) transcript(op *operation, res *replyResult) {
	if len(c.lines) == 0 {
		return
	}
	res.Transcript = make([]transcriptLine, len(c.lines))
	for i, e := range c.lines {
		line := transcriptLine{metrics.D(max(e.At.Sub(op.called), 0)), string(e.Speaker), e.Text}
		res.Transcript[i] = line
		if op.state.Logger != nil {
			op.state.Logger.Info(fmt.Sprintf("smtp %s %s %s: %s", op.method, e.At.Sub(op.called).Round(time.Microsecond), line.From, smtp.Visible(line.Text)))
		}
	}
	c.lines = c.lines[:0]
}

// wants looks for a variable that is set to anything but the empty string, 0 or false.
func wants(vu modules.VU, name string) bool {
	value := variable(vu, name)
	return value != "" && value != "0" && value != "false"
}

// variable is the value of a variable in k6's option --env, or else in its environment.
func variable(vu modules.VU, name string) string {
	state := vu.InitEnv().TestPreInitState
	if state == nil {
		return ""
	}
	value := state.RuntimeOptions.Env[name]
	if value == "" && state.LookupEnv != nil {
		value, _ = state.LookupEnv(name)
	}
	return value
}
