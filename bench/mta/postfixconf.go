package mta

import (
	"fmt"
	"net"
	"strings"
	"text/template"
	"time"
)

// minimalBackoff is the default pause before the first retry. Postfix takes a message up again a second early at most, and its queue manager
// must not meet the agent that has just deferred it: one whose file is still locked is "skipped, still being delivered" and put
// aside for a minute.
const minimalBackoff = 3 * time.Second

// Policy is the retry policy of an instance. Zero values mean the default in each field's comment. Postfix counts in whole
// seconds, of which one is its shortest queue_run_delay.
type Policy struct {
	QueueRunDelay  time.Duration // how often the deferred queue is scanned; 1 s
	MinimalBackoff time.Duration // the shortest pause between two attempts; minimalBackoff
	MaximalBackoff time.Duration // the longest; 16 s
	TransportRetry time.Duration // how long a destination stays dead after it failed; 2 s
	Lifetime       time.Duration // when a message that can't be delivered is returned; 10 min
	Concurrency    int           // parallel deliveries to the next hop; 20
}

func (p Policy) withDefaults() Policy {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&p.QueueRunDelay, time.Second)
	set(&p.MinimalBackoff, minimalBackoff)
	set(&p.MaximalBackoff, 16*time.Second)
	set(&p.TransportRetry, 2*time.Second)
	set(&p.Lifetime, 10*time.Minute)
	if p.Concurrency == 0 {
		p.Concurrency = 20
	}
	return p
}

func (p Policy) validate() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"queue run delay", p.QueueRunDelay}, {"minimal backoff", p.MinimalBackoff}, {"maximal backoff", p.MaximalBackoff},
		{"transport retry", p.TransportRetry}, {"lifetime", p.Lifetime},
	} {
		if f.value < time.Second || f.value%time.Second != 0 {
			return fmt.Errorf("%s %v is not a whole number of seconds of at least 1s", f.name, f.value)
		}
	}
	if p.MaximalBackoff < p.MinimalBackoff {
		return fmt.Errorf("maximal backoff %v is shorter than minimal backoff %v", p.MaximalBackoff, p.MinimalBackoff)
	}
	if p.Concurrency < 1 {
		return fmt.Errorf("concurrency %d is not positive", p.Concurrency)
	}
	return nil
}

// String returns the policy in words, for reports.
func (p Policy) String() string {
	p = p.withDefaults()
	return fmt.Sprintf("retries after %v to %v, queue scanned every %v, %d parallel deliveries",
		p.MinimalBackoff, p.MaximalBackoff, p.QueueRunDelay, p.Concurrency)
}

// postfixSettings fills the templates of main.cf and master.cf.
type postfixSettings struct {
	Dir, CommandDir, DaemonDir string
	ListenHost, ListenPort     string
	RelayHost, RelayPort       string
	Policy                     Policy
	Extra                      string
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d/time.Second)) }

var postfixTemplates = template.Must(template.New("").Funcs(template.FuncMap{"seconds": seconds}).Parse(`
{{- define "main.cf"}}compatibility_level = 3.6
queue_directory = {{.Dir}}/spool
data_directory = {{.Dir}}/data
command_directory = {{.CommandDir}}
daemon_directory = {{.DaemonDir}}
mail_owner = postfix
setgid_group = postdrop
myhostname = pf.bench.test
mydestination =
inet_interfaces = {{.ListenHost}}
inet_protocols = {{if .IPv6}}ipv6{{else}}ipv4{{end}}
mynetworks = 127.0.0.0/8 [::1]/128
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [{{.RelayHost}}]:{{.RelayPort}}
disable_dns_lookups = yes
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
maillog_file = {{.Dir}}/log/mail.log
maillog_file_prefixes = {{.Dir}}
minimal_backoff_time = {{seconds .Policy.MinimalBackoff}}
maximal_backoff_time = {{seconds .Policy.MaximalBackoff}}
queue_run_delay = {{seconds .Policy.QueueRunDelay}}
maximal_queue_lifetime = {{seconds .Policy.Lifetime}}
bounce_queue_lifetime = {{seconds .Policy.Lifetime}}
transport_retry_time = {{seconds .Policy.TransportRetry}}
default_destination_concurrency_limit = {{.Policy.Concurrency}}
initial_destination_concurrency = {{if lt .Policy.Concurrency 5}}{{.Policy.Concurrency}}{{else}}5{{end}}
{{.Extra}}
{{end}}

{{- define "master.cf"}}{{if .IPv6}}[{{.ListenHost}}]{{else}}{{.ListenHost}}{{end}}:{{.ListenPort}} inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       10      1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
{{end}}`))

// IPv6 reports whether the listening address must be bracketed.
func (s postfixSettings) IPv6() bool { return strings.Contains(s.ListenHost, ":") }

func (s postfixSettings) render(name string) (string, error) {
	var b strings.Builder
	if err := postfixTemplates.ExecuteTemplate(&b, name, s); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return b.String(), nil
}

// loopbackAddress splits host:port and insists on an address of the loopback network: an instance under load must never be
// reachable, or reach out, beyond its machine.
func loopbackAddress(what, address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", fmt.Errorf("%s %q is not host:port", what, address)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", "", fmt.Errorf("%s %q is not a loopback address such as 127.0.0.1:2525", what, address)
	}
	return host, port, nil
}
