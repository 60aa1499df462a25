package mta

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// harakaPackage pins Haraka, and two modules whose latest versions don't go with it.
const harakaPackage = `{"private":true,"dependencies":{"Haraka":"%s"},"overrides":{"encoding-japanese":"2.2.0","libqp":"2.1.1"}}`

func harakaAdapter() adapter {
	a := harakaAt("3.3.4")
	a.at = func(version string) adapter {
		other := harakaAt(version)
		other.name += "@" + version
		return other
	}
	return a
}

func harakaAt(version string) adapter {
	return adapter{
		name: "haraka", product: "Haraka", log: "log/console",
		traits: Traits{Routes: true, Sources: true, FinalTimeout: true, RemoteStatus: true, ShortestBackoff: 5 * time.Second}, // one shorter interval makes it ignore them all, without a word
		find: func(private string) string {
			path := filepath.Join(private, "node_modules/Haraka/bin/haraka")
			if installed := lookTool("haraka"); !isFile(path) && installed != "" {
				path, _ = filepath.EvalSymlinks(installed) // npm links to it
			}
			if !isFile(path) || lookTool("node") == "" {
				return ""
			}
			return path
		},
		fetch: func(private string) string {
			return "mkdir -p " + private + " && cd " + private + " && printf '%s' '" + fmt.Sprintf(harakaPackage, version) + "' > package.json" +
				" && npm install --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund"
		},
		layout:   harakaLayout,
		queue:    harakaFiles.listing(harakaEntries),
		schedule: harakaSchedule,
		depth:    harakaFiles.number,
	}
}

func harakaLayout(_ context.Context, i *instance) (daemon []string, err error) {
	if err := i.mkdirs("config", "plugins", "queue"); err != nil {
		return nil, err
	}
	program := filepath.Dir(filepath.Dir(i.program))
	about, err := os.ReadFile(filepath.Join(program, "package.json")) // #nosec G304 -- of the program that find found
	if err != nil {
		return nil, err
	}
	var described struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(about, &described); err != nil {
		return nil, err
	}
	i.setVersion(described.Version)
	connection, err := os.ReadFile(filepath.Join(program, "config/connection.ini")) // #nosec G304 -- as above; without it a connection is its end
	if err != nil && !errors.Is(err, fs.ErrNotExist) {                              // versions before 3.1 have none
		return nil, err
	}
	var intervals []string // the same ones in a row as 5s*3
	for gaps := i.o.Policy.gaps(); len(gaps) > 0; {
		same := 1
		for same < len(gaps) && gaps[same] == gaps[0] {
			same++
		}
		intervals = append(intervals, fmt.Sprintf("%s*%d", seconds(gaps[0]), same))
		gaps = gaps[same:]
	}
	hop := func(address string) string {
		host, port := hostPort(address)
		return fmt.Sprintf("{ exchange: '%s', port: %s, priority: 0 }", host, port)
	}
	routes := ""
	for _, r := range i.o.Routes {
		var hops []string
		for _, h := range r.Hops {
			hops = append(hops, hop(h))
		}
		routes += fmt.Sprintf("  '%s': [%s],\n", r.Domain, strings.Join(hops, ", "))
	}
	sources := ""
	if len(i.o.Sources) > 0 {
		sources = "'" + strings.Join(i.o.Sources, "', '") + "'"
	}
	timeout := ""
	if i.o.FinalTimeout > 0 {
		timeout = fmt.Sprintf("connect_timeout=%d\n", i.o.FinalTimeout/time.Second) // of every wait of a connection
	}
	err = i.configure(
		[2]string{"config/smtp.ini", "listen=" + i.addr + "\nnodes=0\n" + i.o.Extra},
		[2]string{"config/me", "haraka.bench.test\n"},
		[2]string{"config/plugins", "bench_route\n"},
		[2]string{"config/log.ini", "[main]\nlevel=info\nformat=default\ntimestamps=true\n"},
		[2]string{"config/outbound.ini", fmt.Sprintf("concurrency_max=%d\nenable_tls=false\nlocal_mx_ok=true\nalways_split=true\ntemp_fail_intervals=%s\n%s",
			i.o.Policy.Concurrency, strings.Join(intervals, ","), timeout)},
		[2]string{"config/connection.ini", string(connection)},
		[2]string{"plugins/bench_route.js", fmt.Sprintf(`'use strict'
// Takes all mail, and relays it to one next hop.
exports.register = function () {
  this.register_hook('connect_init', 'relay')
  this.register_hook('rcpt', 'accept')
  this.register_hook('get_mx', 'route')
}
exports.relay = (next, connection) => { connection.relaying = true; next() }
exports.accept = (next) => next(OK)
const routes = {
%s}
const sources = [%s]
exports.route = (next, hmail, domain) => {
  const from = sources.length ? { bind: sources[Math.floor(Math.random() * sources.length)] } : {}
  next(OK, [].concat(routes[domain.toLowerCase()] || %s).map((hop) => ({ ...hop, ...from })))
}
`, routes, sources, hop(i.o.Relay))})
	return []string{lookTool("node"), i.program, "-c", i.o.Dir}, err
}

// harakaSchedule reads outbound.ini as Haraka does: a list of pauses, the same ones in a row as 5s*3. Its timers have whole seconds.
func harakaSchedule(_ context.Context, i *instance) (s Schedule, err error) {
	text, err := os.ReadFile(i.path("config", "outbound.ini"))
	if err != nil {
		return s, err
	}
	list, _ := mtalog.Between(string(text), "temp_fail_intervals=", "\n")
	s = Schedule{Text: "temp_fail_intervals=" + list, Late: time.Second, Later: time.Second}
	for entry := range strings.SplitSeq(list, ",") {
		pause, times, several := strings.Cut(entry, "*")
		gap, err := time.ParseDuration(pause)
		if err != nil {
			return s, err
		}
		n := 1
		if several {
			if n, err = strconv.Atoi(times); err != nil {
				return s, err
			}
		}
		for range min(n, maxGaps) {
			s.Gaps = append(s.Gaps, gap)
		}
	}
	return s, nil
}

// harakaFiles are the files of the queue, by their names: arrival, next attempt, attempts, process, and more. Those that are being
// written have other names.
const harakaFiles queueFiles = "queue/[0-9]*_[0-9]*_[0-9]*_[0-9]*_*"

// harakaEntries reads the envelope that a file of the queue begins with: its name, which package reconcile reads, doesn't tell whose
// it is.
func harakaEntries(file *os.File) ([]reconcile.QueueEntry, error) {
	entries, err := harakaEnvelope(file)
	if err != nil {
		entries = []reconcile.QueueEntry{{Unnamed: true}} // one that is being written
	}
	return entries, nil
}

// maxEnvelope bounds an envelope.
const maxEnvelope = 16 << 20

func harakaEnvelope(file *os.File) ([]reconcile.QueueEntry, error) {
	var length uint32
	if err := binary.Read(file, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	if length > maxEnvelope {
		return nil, fmt.Errorf("an envelope of %d octets", length)
	}
	text := make([]byte, length)
	if _, err := file.ReadAt(text, 4); err != nil {
		return nil, err
	}
	type address struct {
		Original string `json:"original"` // <local@domain>
	}
	var envelope struct {
		From address   `json:"mail_from"`
		To   []address `json:"rcpt_to"`
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return nil, err
	}
	bare := func(a address) string { return strings.TrimSuffix(strings.TrimPrefix(a.Original, "<"), ">") }
	var entries []reconcile.QueueEntry
	for _, to := range envelope.To {
		sender := bare(envelope.From)
		entries = append(entries, reconcile.QueueEntry{Sender: sender, NullSender: sender == "", Recipient: bare(to)})
	}
	return entries, nil
}
