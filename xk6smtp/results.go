package xk6smtp

import (
	"strings"
	"time"

	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
	"github.com/smtpstorm/xk6-smtp/xk6smtp/client"
)

// replyResult is what every result has: whether it went as expected, the reply, and the error.
type replyResult struct {
	OK           bool   `js:"ok"`
	Code         int    `js:"code"`
	EnhancedCode string `js:"enhancedCode"`
	Phase        string `js:"phase"`
	Text         string `js:"text"`
	Error        string `js:"error"`
	ErrorCode    int    `js:"errorCode"`

	Lines      []string         `js:"lines"`
	Transcript []transcriptLine `js:"transcript"`

	oneLine [1]string // Lines of a reply that has one
}

func (r *replyResult) setReply(reply client.Reply, ok bool) {
	r.OK = ok
	r.Code = int(reply.Code)
	r.EnhancedCode = reply.Enhanced.String()
	r.Phase = reply.Phase.String()
	r.Text = reply.Text
	r.setLines(reply.Text)
	if !ok {
		r.ErrorCode = int(replyErrorCode(reply.Code))
		line := smtp.Reply{Code: reply.Code, Enhanced: reply.Enhanced, Lines: r.Lines}
		r.Error = r.Phase + ": " + line.String()
	}
}

// setLines cuts a reply's text into lines. One line, as nearly all replies have, costs nothing.
func (r *replyResult) setLines(text string) {
	if strings.IndexByte(text, '\n') >= 0 {
		r.Lines = strings.Split(text, "\n")
		return
	}
	r.oneLine[0] = text
	r.Lines = r.oneLine[:]
}

func (r *replyResult) setError(phase smtp.Stage, err error) {
	r.OK = false
	r.Phase = phase.String()
	r.Error = err.Error()
	r.ErrorCode = int(errorCodeOf(err))
}

// addCause adds what happened after the reply that refused, if that was told too.
func (r *replyResult) addCause(err error) {
	if broken := brokenBy(err); broken != nil && broken.Code != 0 && broken.Err != nil {
		r.Error += "; then " + broken.Err.Error()
	}
}

// answer is what a promise is resolved with.
type answer interface{ base() *replyResult }

func (r *replyResult) base() *replyResult { return r }

// connectResult is what connect resolves with.
type connectResult struct {
	replyResult
	Banner       string         `js:"banner"`
	Capabilities []string       `js:"capabilities"`
	TLS          *tlsInfo       `js:"tls"`
	Timings      connectTimings `js:"timings"`
}

type connectTimings struct {
	Resolving      float64 `js:"resolving"`
	Connecting     float64 `js:"connecting"`
	TLSHandshaking float64 `js:"tlsHandshaking"`
	Banner         float64 `js:"banner"`
	Ehlo           float64 `js:"ehlo"`
	Auth           float64 `js:"auth"`
}

// newConnectResult tells of a connection; conn is nil if there is none.
func newConnectResult(g *client.Greeting, conn *client.Conn, err error) *connectResult {
	t := &g.Timings
	r := &connectResult{Banner: g.Banner, Capabilities: g.Capabilities.Lines(), TLS: newTLSInfo(conn), Timings: connectTimings{
		millis(t.Resolving), millis(t.Connecting), millis(t.TLS), millis(t.Banner), millis(t.Ehlo) + millis(t.EhloTLS), millis(t.Auth),
	}}
	if broken := brokenBy(err); broken != nil && broken.Code == 0 {
		r.setError(broken.Phase, err)
		return r
	}
	if r.setReply(g.Reply, err == nil); conn != nil && conn.Ungreeted() {
		r.Phase = smtp.StageConnect.String() // there is no reply yet
	}
	r.addCause(err)
	return r
}

// sendResult is what send resolves with. Its reply is the one that decided: of the first recipient whose final reply was not
// expected, or of the first recipient.
type sendResult struct {
	replyResult
	Token      string            `js:"token"`
	Pipelined  bool              `js:"pipelined"`
	Recipients []recipientResult `js:"recipients"`
	Timings    sendTimings       `js:"timings"`

	one [1]recipientResult // Recipients when there is one
}

type recipientResult struct {
	Address      string `js:"address"`
	OK           bool   `js:"ok"`
	Code         int    `js:"code"`
	EnhancedCode string `js:"enhancedCode"`
	Phase        string `js:"phase"`
	Text         string `js:"text"`
}

type sendTimings struct {
	Blocked  float64 `js:"blocked"`
	Mail     float64 `js:"mail"`
	Rcpt     float64 `js:"rcpt"`
	Data     float64 `js:"data"`
	Sending  float64 `js:"sending"`
	Waiting  float64 `js:"waiting"`
	Duration float64 `js:"duration"`
}

// millis is a duration in fractional milliseconds, 0 for a phase that was not completed.
func millis(d time.Duration) float64 {
	if d == client.NotMeasured {
		return 0
	}
	return metrics.D(d)
}
