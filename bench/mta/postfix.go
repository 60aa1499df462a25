package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func postfixAdapter() adapter {
	return adapter{
		name: "postfix", product: "Postfix", root: true, log: "log/mail.log",
		// The queue manager rounds a message's next attempt down to whole seconds, and takes it up to a second before. With less than 3 s it
		// may meet the agent that has just deferred a message, and whose lock it finds: "skipped, still being delivered", and put aside for
		// a minute.
		traits: Traits{Routes: true, Sources: true, FinalTimeout: true, DSN: true, EnvelopeID: true, RemoteStatus: true, RetryEarly: 2 * time.Second, ShortestBackoff: 3 * time.Second},
		find:   func(string) string { return lookTool("postfix") },
		fetch:  func(string) string { return "apt-get install -y postfix" },
		layout: postfixLayout,
		environment: func(i *instance) []string {
			// With the last two, as postfix(1) sets them, master(8) can log why it doesn't start while postlogd(8) isn't there.
			return []string{"MAIL_CONFIG=" + i.path("etc"), "POSTLOG_SERVICE=public/postlog", "POSTLOG_HOSTNAME=pf"}
		},
		queue: func(ctx context.Context, i *instance, f func(*reconcile.QueueEntry) error) error {
			listing, err := i.output(ctx, i.beside("postqueue"), "-c", i.path("etc"), "-j")
			if err != nil {
				return err
			}
			return reconcile.ReadQueue(bytes.NewReader(listing), "postqueue -j", f)
		},
		depth:    postfixDepth,
		schedule: postfixSchedule,
	}
}

// beside is a program that was installed together with the main one.
func (i *instance) beside(name string) string { return filepath.Join(filepath.Dir(i.program), name) }

// postfixSettings fill the templates of main.cf and master.cf.
type postfixSettings struct {
	Dir, CommandDir, DaemonDir string
	ListenHost, ListenPort     string
	RelayHost, RelayPort       string
	Policy                     Policy
	FinalTimeout               time.Duration
	Routes                     string
	Sources                    []string
	Extra                      string
}

// IPv6 reports whether the listening address must be bracketed.
func (s postfixSettings) IPv6() bool { return strings.Contains(s.ListenHost, ":") }

func postfixLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	s := postfixSettings{Dir: i.o.Dir, CommandDir: filepath.Dir(i.program), Policy: i.o.Policy, FinalTimeout: i.o.FinalTimeout, Sources: i.o.Sources, Extra: i.o.Extra}
	for _, r := range i.o.Routes {
		s.Routes += "{" + r.Domain + " = smtp:" + postfixHops(r.Hops) + "} "
	}
	s.ListenHost, s.ListenPort = i.listen()
	s.RelayHost, s.RelayPort = i.relay()
	// Defaults of the binaries: postconf -d doesn't read the system's main.cf.
	compiled, err := i.output(ctx, i.beside("postconf"), "-d", "-h", "daemon_directory", "mail_version")
	if err != nil {
		return nil, err
	}
	daemons, version, _ := strings.Cut(string(compiled), "\n")
	s.DaemonDir = daemons
	i.setVersion(version)
	if err := i.mkdirs("etc", "spool", "data"); err != nil {
		return nil, err
	}
	var files [][2]string
	for _, name := range []string{"main.cf", "master.cf"} {
		var text strings.Builder
		if err := postfixTemplates.ExecuteTemplate(&text, name, s); err != nil {
			return nil, err
		}
		files = append(files, [2]string{"etc/" + name, onlyLast(text.String(), s.Extra)})
	}
	if err := i.configure(files...); err != nil {
		return nil, err
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(i.path("data"), uid, -1); err != nil {
		return nil, err
	}
	// It creates the queue's directories, and says in one line what is wrong with main.cf. "postfix start" is this check, and then the
	// master daemon in the background: as a child of ours it can't outlive this program.
	_, err = i.output(ctx, i.program, "-c", i.path("etc"), "check")
	return []string{filepath.Join(daemons, "master"), "-c", i.path("etc"), "-s"}, err
}

// onlyLast leaves out of a configuration the lines whose parameter its last part sets again. Each program of Postfix warns of each such line
// when it starts, postlogd(8) too, which reads the socket that it then writes to: with more than a few of them it waits for itself for ever.
func onlyLast(text, extra string) string {
	again := map[string]bool{}
	for line := range strings.Lines(extra) {
		if name, _, found := strings.Cut(line, "="); found && !strings.ContainsAny(line[:1], " \t#") {
			again[strings.TrimSpace(name)] = true
		}
	}
	own, isLast := strings.CutSuffix(text, extra+"\n")
	if !isLast || len(again) == 0 {
		return text
	}
	var kept strings.Builder
	for line := range strings.Lines(own) {
		if name, _, _ := strings.Cut(line, "="); !again[strings.TrimSpace(name)] {
			kept.WriteString(line)
		}
	}
	return kept.String() + extra + "\n"
}

// postfixSchedule reads main.cf by Postfix's own program. A message waits until floor(now) + clip(age, minimal, maximal), and a scan of
// each queue_run_delay (1 s) takes it up to a second before (qmgr_active.c, qmgr_deliver_list in Postfix's source).
func postfixSchedule(ctx context.Context, i *instance) (s Schedule, err error) {
	out, err := i.output(ctx, i.beside("postconf"), "-c", i.path("etc"), "-x", "minimal_backoff_time", "maximal_backoff_time", "queue_run_delay")
	if err != nil {
		return s, err
	}
	values := map[string]time.Duration{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if values[name], err = time.ParseDuration(value); err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	shortest, longest, scan := values["minimal_backoff_time"], values["maximal_backoff_time"], values["queue_run_delay"]
	s = Schedule{ByAge: true, WholeSeconds: true, Text: strings.TrimSpace(string(out)), Early: time.Second, Late: scan, Later: scan}
	for gap, age := shortest, time.Duration(0); gap > 0 && len(s.Gaps) < maxGaps; gap = min(max(age, shortest), longest) {
		s.Gaps, age = append(s.Gaps, gap), age+gap
		if gap == longest {
			break
		}
	}
	return s, nil
}

// postfixHops writes next hops as a transport table takes them.
func postfixHops(hops []string) string {
	var list []string
	for _, hop := range hops {
		host, port := hostPort(hop)
		list = append(list, "["+host+"]:"+port)
	}
	return strings.Join(list, ", ")
}

// postfixQueue is one of the queues of qmgr(8), by the name of its directory.
type postfixQueue string

// The queues of messages for delivery.
const (
	incomingQueue postfixQueue = "incoming"
	activeQueue   postfixQueue = "active"
	deferredQueue postfixQueue = "deferred"
)

// postfixDepth counts the messages by their queue files. Only one that moves there and back again during the count may be missed: messages
// move along incoming, active, deferred, and back from deferred to active, and who looks in that order meets them again.
func postfixDepth(i *instance) (int, error) {
	ids := make(map[string]struct{})
	for _, q := range []postfixQueue{incomingQueue, activeQueue, deferredQueue, activeQueue} {
		if err := q.list(i.path("spool", string(q)), ids); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// list notes the messages whose files lie below dir, which keep their names as they move; what vanishes meanwhile has left the queue.
func (q postfixQueue) list(dir string, ids map[string]struct{}) error {
	return filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.Type().IsRegular():
			ids[entry.Name()] = struct{}{}
		}
		return nil
	})
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
enable_long_queue_ids = yes
minimal_backoff_time = {{seconds .Policy.MinimalBackoff}}
maximal_backoff_time = {{seconds .Policy.MaximalBackoff}}
queue_run_delay = 1s
maximal_queue_lifetime = {{seconds .Policy.Lifetime}}
bounce_queue_lifetime = {{seconds .Policy.Lifetime}}
transport_retry_time = 2s
default_destination_concurrency_limit = {{.Policy.Concurrency}}
initial_destination_concurrency = {{if lt .Policy.Concurrency 5}}{{.Policy.Concurrency}}{{else}}5{{end}}
{{with .Routes}}transport_maps = inline:{ {{.}}}
{{end}}{{with .Sources}}sender_dependent_default_transport_maps = randmap:{ {{range $n, $source := .}}{{if $n}}, {{end}}from{{$n}}:{{end}} }
{{end}}{{with .FinalTimeout}}smtp_data_done_timeout = {{seconds .}}
{{end}}{{.Extra}}
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
{{range $n, $source := .Sources}}from{{$n}} unix - - n - - smtp -o smtp_bind_address={{$source}}
{{end}}showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
{{end}}`))
