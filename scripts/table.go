package scripts

// The files with what they are, in at most 55 characters each: a list of them fits 80 columns.
var (
	scriptTable = [][2]string{
		{"calm", "a constant rate to a server that takes every message"},
		{"bounce-storm", "the same load at a server that bounces and defers"},
		{"ramping-arrival-rate", "from which rate on a server gets slower"},
		{"spike", "many times the load of a sudden, and what is dropped"},
		{"soak", "hours of moderate load in little memory"},
		{"connection-churn", "a connection for each message"},
		{"large-attachments", "megabytes per message, by DATA or by BDAT"},
		{"tls-handshakes", "a full TLS handshake per connection (own sink)"},
		{"auth-storm", "many logins, a share of them wrong (own sink)"},
		{"mixed-recipients", "several recipients a message, some of them refused"},
		{"shared-array", "one long list of recipients for all VUs"},
		{"delivery", "end to end through your mail server (own sink)"},
		{"ci-thresholds", "seconds in a CI job, failed by thresholds (own sink)"},
		{"smoke", "does this k6 have the extension? (own sink)"},
	}
	planTable = [][2]string{
		{"as-in-the-wild", "13% of the RCPTs fail at first, as a study found"},
		{"bounce-storm", "4xx and 5xx at mail, rcpt and message, late replies"},
		{"calm", "everything is accepted: what storms are compared with"},
		{"connection-refused", "the port is closed for 60 s, after 10 s"},
		{"flapping", "four times 20 bad seconds and 10 good ones"},
		{"greylist", "451 until 25 s after the first attempt"},
		{"lost-reply-after-dot", "5% of the messages are kept but never answered"},
		{"outage-421", "421 in the greeting for 60 s"},
		{"recovery", "60 s of outage, then 120 s of slow recovery"},
		{"slow-tarpit", "the greeting takes 10 s and each reply 2 s, for 60 s"},
		{"tempfail-rcpt-30", "30% of the RCPTs are deferred, each attempt anew"},
		{"throttle-421-after-20", "limits per client: messages, connections, recipients"},
		{"tls-trouble", "STARTTLS is missing or goes wrong in every way"},
	}
)
