package xk6smtp

import "go.k6.io/k6/v2/metrics"

// smtpMetrics is what the module registers. Trends are times in fractional milliseconds.
type smtpMetrics struct {
	connResolving, connConnecting, connTLS, connBanner, connEhlo, connAuth *metrics.Metric // trends

	msgBlocked, msgMail, msgRcpt, msgData, msgSending, msgWaiting, msgDuration *metrics.Metric // trends

	// msgUnanswered is how long messages had lasted for which the client gave up waiting: their duration is at least that.
	msgUnanswered *metrics.Metric // trend, by phase and error_code

	sessions   *metrics.Metric // connections that were greeted
	messages   *metrics.Metric // messages that were tried
	recipients *metrics.Metric // their recipients, by expected_response
	replies    *metrics.Metric // replies read, by phase, code and enhanced
	errors     *metrics.Metric // replies awaited and lost, and dialogues that did not begin, by phase and error_code

	msgFailed, connFailed *metrics.Metric // rates
}

// registerMetrics registers them with the registry of a run, or finds them there: every VU's instance calls it.
func registerMetrics(registry *metrics.Registry) (*smtpMetrics, error) {
	m := &smtpMetrics{}
	for _, r := range m.table() {
		metric, err := registry.NewMetric(r.name, r.typ, r.val)
		if err != nil {
			return nil, err
		}
		*r.into = metric
	}
	return m, nil
}

// tableRow is a metric and what it means: the reference is made of it.
type tableRow struct {
	into  *(*metrics.Metric)
	name  string
	typ   metrics.MetricType
	val   metrics.ValueType
	about string
}

func (m *smtpMetrics) table() []tableRow {
	return []tableRow{
		{&m.connResolving, "smtp_conn_resolving", metrics.Trend, metrics.Time, "From the begin to the end of resolving the host's name."},
		{&m.connConnecting, "smtp_conn_connecting", metrics.Trend, metrics.Time, "From the begin to the end of connecting."},
		{&m.connTLS, "smtp_conn_tls_handshaking", metrics.Trend, metrics.Time, "From the reply to STARTTLS (implicit TLS: from the connection) to the end of the handshake."},
		{&m.connBanner, "smtp_conn_banner", metrics.Trend, metrics.Time, "From the connection (implicit TLS: its encryption) to the last byte of the greeting."},
		{&m.connEhlo, "smtp_conn_ehlo", metrics.Trend, metrics.Time, "From the first byte of EHLO to the last byte of its reply. One value for each EHLO, so two with STARTTLS."},
		{&m.connAuth, "smtp_conn_auth", metrics.Trend, metrics.Time, "From the first byte of AUTH to the last byte of its last reply."},
		{&m.msgBlocked, "smtp_msg_blocked", metrics.Trend, metrics.Time, "From the call of send to the first byte of MAIL."},
		{&m.msgMail, "smtp_msg_mail", metrics.Trend, metrics.Time, "From the first byte of MAIL to the last byte of its reply. Pipelined phases share their write instant and are tagged pipelined."},
		{&m.msgRcpt, "smtp_msg_rcpt", metrics.Trend, metrics.Time, "From the first byte of the first RCPT to the last byte of the last one's reply."},
		{&m.msgData, "smtp_msg_data", metrics.Trend, metrics.Time, "From the first byte of DATA to the last byte of its reply."},
		{&m.msgSending, "smtp_msg_sending", metrics.Trend, metrics.Time, "From the first byte of the body to the last byte of the final dot, or of the last chunk."},
		{&m.msgWaiting, "smtp_msg_waiting", metrics.Trend, metrics.Time, "From there to the last byte of the final reply (LMTP: of the last one)."},
		{&m.msgDuration, "smtp_msg_duration", metrics.Trend, metrics.Time, "From the first byte of MAIL to the last byte of the final reply."},
		{&m.msgUnanswered, "smtp_msg_unanswered", metrics.Trend, metrics.Time, "From the first byte of MAIL to the instant at which the client waited no longer: a timeout, or the iteration was cut short. The message's duration is more than that, and so no value of smtp_msg_duration; reports count it as slower than all of those."},
		{&m.sessions, "smtp_sessions", metrics.Counter, metrics.Default, "Connections that were greeted."},
		{&m.messages, "smtp_messages", metrics.Counter, metrics.Default, "Messages that were tried."},
		{&m.recipients, "smtp_recipients", metrics.Counter, metrics.Default, "Their recipients."},
		{&m.replies, "smtp_replies", metrics.Counter, metrics.Default, "Replies that were read."},
		{&m.errors, "smtp_errors", metrics.Counter, metrics.Default, "Replies that were awaited and never came, and dialogues that never began. A negative reply is no error."},
		{&m.msgFailed, "smtp_msg_failed", metrics.Rate, metrics.Default, "Messages without an expected final reply, of all that were tried."},
		{&m.connFailed, "smtp_conn_failed", metrics.Rate, metrics.Default, "Connections that never got as far as a greeting, of all that were tried."},
	}
}
