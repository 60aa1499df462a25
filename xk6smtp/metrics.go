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
	for _, r := range []struct {
		into *(*metrics.Metric)
		name string
		typ  metrics.MetricType
		val  metrics.ValueType
	}{
		{&m.connResolving, "smtp_conn_resolving", metrics.Trend, metrics.Time},
		{&m.connConnecting, "smtp_conn_connecting", metrics.Trend, metrics.Time},
		{&m.connTLS, "smtp_conn_tls_handshaking", metrics.Trend, metrics.Time},
		{&m.connBanner, "smtp_conn_banner", metrics.Trend, metrics.Time},
		{&m.connEhlo, "smtp_conn_ehlo", metrics.Trend, metrics.Time},
		{&m.connAuth, "smtp_conn_auth", metrics.Trend, metrics.Time},
		{&m.msgBlocked, "smtp_msg_blocked", metrics.Trend, metrics.Time},
		{&m.msgMail, "smtp_msg_mail", metrics.Trend, metrics.Time},
		{&m.msgRcpt, "smtp_msg_rcpt", metrics.Trend, metrics.Time},
		{&m.msgData, "smtp_msg_data", metrics.Trend, metrics.Time},
		{&m.msgSending, "smtp_msg_sending", metrics.Trend, metrics.Time},
		{&m.msgWaiting, "smtp_msg_waiting", metrics.Trend, metrics.Time},
		{&m.msgDuration, "smtp_msg_duration", metrics.Trend, metrics.Time},
		{&m.msgUnanswered, "smtp_msg_unanswered", metrics.Trend, metrics.Time},
		{&m.sessions, "smtp_sessions", metrics.Counter, metrics.Default},
		{&m.messages, "smtp_messages", metrics.Counter, metrics.Default},
		{&m.recipients, "smtp_recipients", metrics.Counter, metrics.Default},
		{&m.replies, "smtp_replies", metrics.Counter, metrics.Default},
		{&m.errors, "smtp_errors", metrics.Counter, metrics.Default},
		{&m.msgFailed, "smtp_msg_failed", metrics.Rate, metrics.Default},
		{&m.connFailed, "smtp_conn_failed", metrics.Rate, metrics.Default},
	} {
		metric, err := registry.NewMetric(r.name, r.typ, r.val)
		if err != nil {
			return nil, err
		}
		*r.into = metric
	}
	return m, nil
}
