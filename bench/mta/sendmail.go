package mta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// sendmailProgram is where Debian's package has it: sendmail on the PATH may be another MTA's imitation.
const sendmailProgram = "/usr/libexec/sendmail/sendmail"

func sendmailAdapter() adapter {
	return adapter{
		name: "sendmail", product: "sendmail", root: true, log: "log/mail.log", syslog: "dev/log", jailed: true,
		// The pause is counted from the whole second of the attempt before.
		traits: Traits{FinalTimeout: true, DSN: true, EnvelopeID: true, RemoteStatus: true, RefusedAgain: true, RetryEarly: time.Second, ShortestBackoff: time.Second},
		find: func(private string) string {
			for _, root := range [...]string{private, ""} {
				if isFile(root+sendmailProgram) && isFile(sendmailMacros(root+sendmailProgram)+"/m4/cf.m4") && (root != "" || lookTool("m4") != "") {
					return root + sendmailProgram
				}
			}
			return ""
		},
		fetch:  func(private string) string { return unpack(private, "sendmail-bin sendmail-base sendmail-cf m4") },
		layout: sendmailLayout,
		environment: func(i *instance) []string {
			return []string{"LD_LIBRARY_PATH=" + i.path("bin")}
		},
		queue: sendmailFiles.listing(sendmailEnvelope),
		depth: sendmailFiles.number,

		schedule: sendmailSchedule,
	}
}

// sendmailSchedule reads sendmail.cf, as the daemon does, which starts a run of the queue each second (-q1s). With MaxQueueAge a pause
// doubles from MinQueueAge on, the first of which comes twice.
func sendmailSchedule(_ context.Context, i *instance) (s Schedule, err error) {
	text, err := os.ReadFile(i.path("sendmail.cf"))
	if err != nil {
		return s, err
	}
	var ages [2]time.Duration
	for n, name := range []string{"MinQueueAge", "MaxQueueAge"} {
		value, _ := mtalog.Between(string(text), "\nO "+name+"=", "\n")
		if ages[n], err = time.ParseDuration(value); err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		s.Text = strings.TrimSpace(s.Text + " " + name + "=" + value)
	}
	s.Early, s.Late, s.Later = time.Second, 2*time.Second, 2*time.Second
	for gap := ages[0]; len(s.Gaps) == 0 || s.Gaps[len(s.Gaps)-1] < ages[1]; gap = min(2*gap, ages[1]) {
		if len(s.Gaps) == 0 {
			s.Gaps = append(s.Gaps, gap)
		}
		s.Gaps = append(s.Gaps, gap)
	}
	return s, nil
}

// sendmailMacros is the directory of the macros that make a configuration.
func sendmailMacros(program string) string {
	return strings.TrimSuffix(program, sendmailProgram) + "/usr/share/sendmail/cf"
}

func sendmailLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.listen()
	next, nextPort := i.relay()
	if strings.Contains(host+next, ":") {
		return nil, errors.New("addresses of IPv6 are not supported")
	}
	if err := i.copyPrograms(sendmailProgram); err != nil {
		return nil, err
	}
	if err := i.mkdirs("mqueue"); err != nil {
		return nil, err
	}
	if err := os.Chmod(i.path("mqueue"), 0o700); err != nil { // #nosec G302 -- it insists on that
		return nil, err
	}
	// m4 of the unpacked packages, or that of the system.
	m4 := strings.TrimSuffix(i.program, sendmailProgram) + "/usr/bin/m4"
	if !isFile(m4) {
		m4 = lookTool("m4")
	}
	var source strings.Builder
	err = sendmailTemplate.Execute(&source, map[string]any{
		"Dir": i.o.Dir, "Host": host, "Port": port, "NextHost": next, "NextPort": nextPort, "Policy": i.o.Policy, "FinalTimeout": i.o.FinalTimeout, "Extra": i.o.Extra,
	})
	if err != nil {
		return nil, err
	}
	err = i.configure([2]string{"sendmail.mc", source.String()}, [2]string{"service.switch", "hosts files\naliases files\n"})
	if err != nil {
		return nil, err
	}
	macros := sendmailMacros(i.program)
	cf, err := i.output(ctx, m4, "-D_CF_DIR_="+macros+"/", macros+"/m4/cf.m4", i.path("sendmail.mc"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(i.path("sendmail.cf"), cf, 0o644); err != nil { // #nosec G306 -- as every configuration file of an instance
		return nil, err
	}
	sendmail := []string{i.path("bin", "sendmail"), "-C", i.path("sendmail.cf")}
	// It asks the system for its name even to say its version.
	versions, err := i.jail(nil, append(sendmail, "-d0.1", "-bt")...)
	if err != nil {
		return nil, err
	}
	about, err := i.output(ctx, versions...)
	if err != nil {
		return nil, err
	}
	version, _ := mtalog.Between(string(about), "Version ", "\n")
	i.setVersion(version)
	return i.jail(nil, append(sendmail, "-bD", "-q1s")...)
}

// sendmailTemplate: without relay: in SMART_HOST mail waits for DNS, and a probe of the interfaces asks it for their names.
var sendmailTemplate = template.Must(template.New("").Funcs(template.FuncMap{"seconds": seconds}).Parse("OSTYPE(`linux')dnl\n" + sendmailDefines([][2]string{
	{"confTRUSTED_USER", "root"},
	{"QUEUE_DIR", "{{.Dir}}/mqueue"},
	{"confPID_FILE", "{{.Dir}}/sendmail.pid"},
	{"STATUS_FILE", "{{.Dir}}/statistics"},
	{"confCONTROL_SOCKET_NAME", ""},
	{"ALIAS_FILE", ""},
	{"HELP_FILE", ""},
	{"confDOMAIN_NAME", "sendmail.bench.test"},
	{"confDONT_BLAME_SENDMAIL", "GroupWritableDirPathSafe"},
	{"confDONT_PROBE_INTERFACES", "True"},
	{"confSERVICE_SWITCH_FILE", "{{.Dir}}/service.switch"},
	{"confMIN_QUEUE_AGE", "{{seconds .Policy.MinimalBackoff}}"},
	{"confMAX_QUEUE_AGE", "{{seconds .Policy.MaximalBackoff}}"},
	{"confTO_QUEUERETURN", "{{seconds .Policy.Lifetime}}"},
	{"confTO_QUEUEWARN", "0"},
	{"confTO_HOSTSTATUS", "1s"},
	{"confTO_CONNECT", "5s"},
	{"confTO_IDENT", "0"},
	{"confQUEUE_LA", "500"},
	{"confREFUSE_LA", "500"},
	{"confDELAY_LA", "0"},
	{"confMAX_DAEMON_CHILDREN", "100"},
	{"confMAX_QUEUE_CHILDREN", "{{.Policy.Concurrency}}"},
	{"confMAX_RUNNERS_PER_QUEUE", "4"},
	{"SMART_HOST", "relay:[{{.NextHost}}]"},
	{"RELAY_MAILER_ARGS", "TCP $h {{.NextPort}}"},
}) + "{{with .FinalTimeout}}define(`confTO_DATAFINAL', `{{seconds .}}')dnl\n{{end}}" +
	"FEATURE(`no_default_msa')dnl\nFEATURE(`nocanonify')dnl\nFEATURE(`accept_unresolvable_domains')dnl\nFEATURE(`accept_unqualified_senders')dnl\n" +
	"FEATURE(`promiscuous_relay')dnl\nDAEMON_OPTIONS(`Name=MTA, Family=inet, Addr={{.Host}}, Port={{.Port}}')dnl\n{{.Extra}}\nMAILER(`smtp')dnl\n"))

func sendmailDefines(values [][2]string) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "define(`%s', `%s')dnl\n", v[0], v[1])
	}
	return b.String()
}

// sendmailFiles are the control files of the queue, which have the envelopes whole: "sendmail -bp" cuts addresses.
const sendmailFiles queueFiles = "mqueue/qf*"

// sendmailEnvelope reads a control file: S<sender>, a recipient for each line R, with flags before a colon since version 4 of the
// format; the header after them.
func sendmailEnvelope(file *os.File) ([]reconcile.QueueEntry, error) {
	var sender string
	var entries []reconcile.QueueEntry
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxEnvelope)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "H") {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "S"):
			sender = strings.TrimSuffix(strings.TrimPrefix(line[1:], "<"), ">")
		case strings.HasPrefix(line, "R"):
			_, address, _ := strings.Cut(line, ":")
			entries = append(entries, reconcile.QueueEntry{Sender: sender, NullSender: sender == "", Recipient: strings.TrimSuffix(strings.TrimPrefix(address, "<"), ">")})
		}
	}
	if len(entries) == 0 { // it is being written
		entries = []reconcile.QueueEntry{{Unnamed: true}}
	}
	return entries, lines.Err()
}
