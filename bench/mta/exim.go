package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

func eximAdapter() adapter {
	return adapter{
		name: "exim", product: "Exim", other: true, log: "log/mainlog",
		// Times of retries are whole seconds.
		traits: Traits{Routes: true, Sources: true, FinalTimeout: true, DSN: true, EnvelopeID: true, RetryEarly: time.Second, ShortestBackoff: time.Second},
		find:   fetchedOr("usr/sbin/exim4"),
		// libnss-wrapper gives it a user that only an installation of its package makes.
		fetch:  func(private string) string { return unpack(private, "exim4-daemon-light libnss-wrapper") },
		layout: eximLayout,
		// Its counts of deliveries under way, for max_parallel, outlive a crash: for six hours nothing would be delivered (its
		// specification, serialize_hosts).
		ready: func(i *instance) error {
			counts, err := filepath.Glob(i.path("spool", "db", "misc*"))
			for _, path := range counts {
				err = errors.Join(err, os.Remove(path))
			}
			return err
		},
		environment: eximEnvironment,
		queue: func(ctx context.Context, i *instance, f func(*reconcile.QueueEntry) error) error {
			listing, err := i.output(ctx, i.path("bin", "exim4"), "-C", i.path("exim.conf"), "-bp")
			if err != nil {
				return err
			}
			return reconcile.ReadQueue(bytes.NewReader(listing), "exim -bp", f)
		},
		schedule: eximSchedule,
		depth:    queueFiles("spool/input/*-H").number,
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// eximEnvironment lets an unpacked Exim find its libraries and its user.
func eximEnvironment(i *instance) []string {
	wrapper := i.path("bin", "libnss_wrapper.so")
	if !isFile(wrapper) {
		return nil
	}
	return []string{"LD_LIBRARY_PATH=" + i.path("bin"), "LD_PRELOAD=" + wrapper, "NSS_WRAPPER_PASSWD=" + i.path("passwd"), "NSS_WRAPPER_GROUP=" + i.path("group")}
}

func eximLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.listen()
	next, nextPort := i.relay()
	if strings.Contains(host+next, ":") {
		return nil, errors.New("addresses of IPv6 are not supported")
	}
	if err := i.mkdirs("spool"); err != nil {
		return nil, err
	}
	if err := i.copyPrograms("/usr/sbin/exim4"); err != nil {
		return nil, err
	}
	user, group := os.Geteuid(), os.Getegid()
	if i.drops() {
		user, group = nobody, nobody
	}
	p := i.o.Policy
	// The pause doubles while it is shorter than the longest.
	retry, rising := fmt.Sprintf("F,%s,%s", seconds(p.Lifetime), seconds(p.MaximalBackoff)), time.Duration(0)
	for _, gap := range p.gaps() {
		if gap == p.MaximalBackoff {
			break
		}
		rising += gap
	}
	if rising > 0 {
		retry = fmt.Sprintf("G,%s,%s,2; ", seconds(min(rising, p.Lifetime)), seconds(p.MinimalBackoff)) + retry
	}
	if p.ByAge {
		retry = fmt.Sprintf("F,%s,%s; ", seconds(p.MinimalBackoff), seconds(p.MinimalBackoff)) + retry
	}
	// A transport for each route: Exim keeps by transport and address, without the port, which messages wait for a host, and passes them on over
	// a connection that it has to any port there.
	routes, transports := "", []string{"sink_smtp"}
	for _, r := range i.o.Routes {
		var hops []string
		for _, hop := range r.Hops {
			host, port := hostPort(hop)
			if strings.Contains(host, ":") {
				return nil, errors.New("addresses of IPv6 are not supported")
			}
			hops = append(hops, host+"::"+port)
		}
		name := fmt.Sprintf("sink_smtp_%d", len(transports))
		transports = append(transports, name)
		routes += r.Domain + ` "` + strings.Join(hops, " : ") + `" ` + name + ` ; `
	}
	var conf strings.Builder
	err = eximTemplate.Execute(&conf, map[string]any{
		"Dir": i.o.Dir, "User": user, "Group": group, "Host": host, "Port": port, "NextHost": next, "NextPort": nextPort, "Policy": p, "Retry": retry, "Routes": routes, "Transports": transports, "FinalTimeout": i.o.FinalTimeout, "Sources": i.o.Sources, "Extra": i.o.Extra,
	})
	if err != nil {
		return nil, err
	}
	err = i.configure([2]string{"exim.conf", conf.String()},
		[2]string{"passwd", fmt.Sprintf("root:x:0:0:root:/:/bin/false\nDebian-exim:x:%d:%d::/:/bin/false\n", user, group)},
		[2]string{"group", fmt.Sprintf("root:x:0:\nDebian-exim:x:%d:\n", group)})
	if err != nil {
		return nil, err
	}
	exim := []string{i.path("bin", "exim4"), "-C", i.path("exim.conf")}
	about, err := i.output(ctx, append(exim, "-bV")...)
	if err != nil {
		return nil, err
	}
	version, _ := mtalog.Between(string(about), "Exim version ", " ")
	i.setVersion(version)
	return append(exim, "-bdf", "-q"+seconds(eximScan(p))), nil
}

// eximRule is one step of a retry rule as exim -brt prints it: F or G, a time until which it holds, a pause, perhaps a factor.
var eximRule = regexp.MustCompile(`([FG]),(\w+),(\w+)(?:,([\d.]+))?`)

// eximSchedule asks exim -brt. The daemon starts a scan of the queue each -q, so that an attempt comes up to one of them late. Retry times
// belong to hosts and addresses, and not to messages: those of several interlock. A message that is older than its rule lasts is tried at
// once, for the last time (Exim's specification, chapter 32.11).
func eximSchedule(ctx context.Context, i *instance) (s Schedule, err error) {
	out, err := i.output(ctx, i.path("bin", "exim4"), "-C", i.path("exim.conf"), "-brt", "anybody@dst.bench.test")
	if err != nil {
		return s, err
	}
	scan := eximScan(i.o.Policy)
	s = Schedule{Text: strings.TrimSpace(string(out)), Early: time.Second, Late: scan, Later: scan, LateInterval: true, LastAnytime: true}
	age := time.Duration(0)
	for _, step := range eximRule.FindAllStringSubmatch(s.Text, -1) {
		until, err := time.ParseDuration(step[2])
		if err != nil {
			return s, err
		}
		gap, err := time.ParseDuration(step[3])
		if err != nil {
			return s, err
		}
		factor := 1.0
		if step[1] == "G" {
			if factor, err = strconv.ParseFloat(step[4], 64); err != nil {
				return s, err
			}
		}
		for first := true; age < until && len(s.Gaps) < maxGaps && (first || factor > 1 || until < time.Minute); first = false {
			s.Gaps, age = append(s.Gaps, gap), age+gap
			gap = time.Duration(float64(gap) * factor)
		}
	}
	return s, nil
}

// eximScan is how often the daemon scans the queue. That costs a process for each message: five for the shortest pause are often enough.
func eximScan(p Policy) time.Duration {
	return max(time.Second, (p.MinimalBackoff / 5).Truncate(time.Second))
}

// eximTemplate: without exim_path and keep_environment what Exim executes anew, such as the sender of notifications, can't start, and
// messages freeze.
var eximTemplate = template.Must(template.New("").Funcs(template.FuncMap{"seconds": seconds}).Parse(`exim_path = {{.Dir}}/bin/exim4
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP : SMTPSTORM_SCRATCH : TZ : PATH
primary_hostname = exim.bench.test
spool_directory = {{.Dir}}/spool
log_file_path = {{.Dir}}/log/%slog
pid_file_path = {{.Dir}}/exim.pid
exim_user = {{.User}}
exim_group = {{.Group}}
never_users =
daemon_smtp_ports = {{.Port}}
daemon_startup_retries = 0
local_interfaces = {{.Host}}
disable_ipv6 = true
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 200
smtp_accept_max_per_host = 200
smtp_accept_queue_per_connection = 0
smtp_accept_reserve = 0
queue_run_max = 5
deliver_drop_privilege = true
dsn_advertise_hosts = *
chunking_advertise_hosts =
tls_advertise_hosts =
acl_smtp_rcpt = accept_all
acl_smtp_data = accept_all
ignore_bounce_errors_after = {{seconds .Policy.Lifetime}}
timeout_frozen_after = {{seconds .Policy.Lifetime}}
delay_warning =
log_timezone = true
log_selector = +millisec +outgoing_port -queue_run
{{.Extra}}
begin acl
accept_all:
  accept
begin routers
sink:
  driver = manualroute
  route_list = {{.Routes}}* {{.NextHost}}
  self = send
  transport = sink_smtp
begin transports
{{range .Transports}}{{.}}:
  driver = smtp
  port = {{$.NextPort}}
  allow_localhost
  max_parallel = {{$.Policy.Concurrency}}
  hosts_avoid_tls = *
  hosts_try_dane =
  hosts_try_fastopen =
  hosts_try_chunking =
  connect_timeout = 5s
{{with $.Sources}}  interface = ${extract{${eval:${randint:{{len .}}}+1}}{:}{ {{- range $n, $source := .}}{{if $n}}:{{end}}{{$source}}{{end -}} }}
{{end}}{{with $.FinalTimeout}}  final_timeout = {{seconds .}}
{{end}}{{end}}begin retry
* * {{.Retry}}
`))
