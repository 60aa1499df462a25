package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/ledger"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

var fleetSinks = []string{"10.77.0.1", "10.77.0.2"}

// host is a machine of the fleet: a process that holds its namespaces.
type host struct{ pid string }

// newHost makes one; hosts is its /etc/hosts.
func newHost(t *testing.T, unshare, hosts string) host {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), unshare, "--net", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && ip link set lo up && echo up && exec sleep 3600`, hosts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		sinktest.Missing(t, "this machine allows no host of its own: %q, %v: %s", line, err, &stderr)
	}
	return host{strconv.Itoa(cmd.Process.Pid)}
}

// command is one that runs on the host, with its root: a mount namespace that is entered has that of the whole machine, which a chroot has not.
func (h host) command(t *testing.T, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), "nsenter", append([]string{"--target", h.pid, "--net", "--mount", "--root", "--wd", name}, args...)...)
}

func (h host) run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	if out, err := h.command(t, words[0], words[1:]...).CombinedOutput(); err != nil {
		sinktest.Missing(t, "%s: %v: %s", line, err, out)
	}
}

// fleet is the hosts: those of k6, then those of the sinks.
type fleet struct {
	t                *testing.T
	bin, script      string
	plan             string
	clients, servers []host
}

func newFleet(t *testing.T) *fleet {
	sinktest.RequireRoot(t, "a network namespace for each host")
	unshare := sinktest.RequireTool(t, "unshare", "util-linux")
	sinktest.RequireTool(t, "nsenter", "util-linux")
	sinktest.RequireTool(t, "ip", "iproute2")
	f := &fleet{t: t, bin: build(t)}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f.script, f.plan = write("load.js", fleetScript), write("plan.yaml", fleetPlan)
	names := "127.0.0.1 localhost\n"
	for _, address := range fleetSinks {
		names += address + " " + fleetName + "\n"
	}
	hosts := write("hosts", names)
	middle := newHost(t, unshare, hosts)
	middle.run(t, "ip link add br0 type bridge")
	middle.run(t, "ip link set br0 up")
	for i := range fleetParts + len(fleetSinks) {
		h, port := newHost(t, unshare, hosts), fmt.Sprint("port", i)
		address := fmt.Sprint("10.77.0.", 11+i)
		if i >= fleetParts {
			address = fleetSinks[i-fleetParts]
			f.servers = append(f.servers, h)
		} else {
			f.clients = append(f.clients, h)
		}
		middle.run(t, "ip link add "+port+" type veth peer name eth0 netns "+h.pid)
		middle.run(t, "ip link set "+port+" master br0 up")
		h.run(t, "ip addr add "+address+"/24 dev eth0")
		h.run(t, "ip link set eth0 up")
	}
	return f
}

// fleetSink is a sink of the fleet.
type fleetSink struct {
	cmd      *exec.Cmd
	counters *os.File
}

// start starts the i-th sink, which goes on with its ledger.
func (f *fleet) start(dir string, i int) *fleetSink {
	f.t.Helper()
	counters, err := os.Create(filepath.Join(dir, fmt.Sprintf("sink-%d.json", i+1)))
	if err != nil {
		f.t.Fatal(err)
	}
	s := &fleetSink{counters: counters}
	s.cmd = f.servers[i].command(f.t, filepath.Join(f.bin, "smtpsink"), "--listen", fleetSinks[i]+":2525", "--plan", f.plan, "--ledger", filepath.Join(dir, fmt.Sprintf("ledger-%d.jsonl", i+1)), "--json")
	s.cmd.Stdout = counters
	said, err := s.cmd.StderrPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	lines := bufio.NewScanner(said)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		if strings.Contains(lines.Text(), "listening on") {
			go func() {
				for lines.Scan() {
				}
			}()
			return s
		}
	}
	f.t.Fatalf("sink %d does not listen: %q", i+1, all)
	return nil
}

func (s *fleetSink) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("a sink: %v", err)
	}
	_ = s.counters.Close()
}

// part is segments.sh --part on the host of a k6.
func (f *fleet) part(dir string, i, messages int, threshold string) *exec.Cmd {
	f.t.Helper()
	segments, err := filepath.Abs("../../scripts/segments.sh")
	if err != nil {
		f.t.Fatal(err)
	}
	// A killed shell leaves its k6 behind, and so both are killed by their group.
	cmd := f.clients[i].command(f.t, segments, "--part", strconv.Itoa(i+1), strconv.Itoa(fleetParts), dir, f.script, "--dns", "select=roundRobin",
		"-e", "SMTP_HOST="+fleetName, "-e", "MESSAGES="+strconv.Itoa(messages), "-e", "THRESHOLD="+threshold)
	cmd.Env = append(os.Environ(), "K6="+filepath.Join(f.bin, "k6"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// merge is segments.sh --merge.
func (f *fleet) merge(dir string) (said string, status int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "../../scripts/segments.sh", "--merge", strconv.Itoa(fleetParts), dir)
	cmd.Env = append(os.Environ(), "K6="+filepath.Join(f.bin, "k6"))
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// fleetDeliveries reads what clients claim and what the sinks tell, without the judge: per unit.
func fleetDeliveries(t *testing.T, dir string) (acked map[string]bool, deliveries map[string]int, starts int) {
	t.Helper()
	acked, deliveries = map[string]bool{}, map[string]int{}
	sent, err := filepath.Glob(filepath.Join(dir, "sent-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sent {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reconcile.ReadClaims(file, path, func(c *reconcile.Claim) error {
			acked[c.Sender+" "+c.Recipient] = c.Ack == reconcile.AckYes
			return nil
		}); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
	for i := range fleetSinks {
		path := filepath.Join(dir, fmt.Sprintf("ledger-%d.jsonl", i+1))
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Each(ledger.Input{Name: path, R: file}, func(row *event.Row) error {
			switch a := &row.Attempt; {
			case row.Kind == event.KindStart:
				starts++
			case row.Kind == event.KindAttempt && a.Delivered:
				deliveries[string(a.Sender)+" "+string(a.Recipient)]++
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
	return acked, deliveries, starts
}

// fleetJudge is smtpbench judge over all claims and both ledgers. Nothing queues and nobody notifies.
func fleetJudge(t *testing.T, dir string) (summary struct {
	Verdict, Sentence string
	Units             int
	Fates, Figures    map[string]int
}, status int) {
	t.Helper()
	var all []byte
	for i := range fleetParts {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("sent-%d.jsonl", i+1)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	for name, text := range map[string][]byte{"sent.jsonl": all, "queue.jsonl": nil, "dsn.jsonl": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, status := smtpbench(t, dir, "judge", dir, "--json")
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
		t.Fatalf("judge: status %d, %v: %s%s", status, err, stdout, stderr)
	}
	return summary, status
}
