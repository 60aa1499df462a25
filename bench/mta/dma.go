package mta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/smtpstorm/xk6-smtp/bench/supervise"
	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// dmaRun is what stands in for cron, which on Debian has dma try its whole queue at every fifth minute. When it is to end, it waits until all of dma's
// processes sleep: one that has delivered and is killed leaves nothing in the log.
const dmaRun = `busy() {
  for p in /proc/[0-9]*; do
    read -r name <$p/comm && [ "$name" = dma ] || continue
    waits=; read -r waits <$p/wchan
    case $waits in *nanosleep*) ;; *) return 0 ;; esac
  done 2>/dev/null
  return 1
}
trap 'n=0; while busy && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done; exit 0' TERM
echo ready
while :; do "$1" -q; sleep 300 & wait $!; done`

// dmaAdapter: a program without a daemon. Who gives it a message is answered when it is in the queue, and leaves a process behind for each
// recipient, which tries and sleeps until it is delivered. It listens nowhere: an intake runs it for each message. Its users and paths are
// compiled in.
func dmaAdapter() adapter {
	return adapter{
		name: "dma", product: "dma", root: true, log: "log/mail.log", syslog: "dev/log", jailed: true, announces: "ready",
		// A process looks every 30 s (SLEEP_TIMEOUT in its dma.h) whether the queue is to be tried, and else tries after 300 s and later; it
		// gives up after five days (MAX_TIMEOUT).
		traits: Traits{FixedSchedule: true, ShortestBackoff: 30 * time.Second, LongestBackoff: 330 * time.Second, RetryEarly: time.Second, FixedLifetime: 5 * 24 * time.Hour, Unstructured: true},
		find:   fetchedOr("usr/sbin/dma", "unshare", "nsenter"),
		fetch:  func(private string) string { return unpack(private, "dma") },
		layout: dmaLayout,
		environment: func(i *instance) []string {
			return []string{"LD_LIBRARY_PATH=" + i.path("bin")}
		},
		front: func(i *instance) (front, error) {
			var jail atomic.Int64
			return openIntake(i.addr, func(from string, to []string, message []byte) error { return dmaTake(i, &jail, from, to, message) })
		},
		flush: dmaFlush,
		queue: dmaEnvelopes.listing(dmaEnvelope),
		depth: dmaMessages.number,
	}
}

// dmaUser is Debian's user mail, as whom dma runs.
const dmaUser = 8

func dmaLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.relay()
	if err := i.copyPrograms("/usr/sbin/dma"); err != nil {
		return nil, err
	}
	if err := i.mkdirs("etc/dma", "spool/dma"); err != nil {
		return nil, err
	}
	if err := os.Chown(i.path("spool/dma"), dmaUser, dmaUser); err != nil {
		return nil, err
	}
	err = i.configure(
		[2]string{"etc/dma/dma.conf", fmt.Sprintf("SMARTHOST %s\nPORT %s\nMAILNAME dma.bench.test\n%s", host, port, i.o.Extra)},
		[2]string{"etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/bin/sh\nmail:x:%d:%d:mail:/:/bin/false\n", dmaUser, dmaUser)},
		[2]string{"etc/group", fmt.Sprintf("root:x:0:\nmail:x:%d:\n", dmaUser)}, [2]string{"etc/hosts", ""})
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(i.program)
	if err != nil {
		return nil, err
	}
	version, known := mtalog.Between(string(program), "DragonFly Mail Agent v", "\x00")
	if !known {
		return nil, errors.New("the program doesn't hold its version")
	}
	i.setVersion(version)
	return i.jail([][2]string{{"etc", "/etc"}, {"spool", "/var/spool"}}, "sh", "-c", dmaRun, "sh", i.path("bin", "dma"))
}

// dmaFlush calls dma -q, and wakes those that sleep, which would look by themselves within 30 s. They reckon in whole seconds: who has just fallen
// asleep tries only if it wakes in the second in which -q was called.
func dmaFlush(ctx context.Context, i *instance) error {
	inside := jailed(i.main.Process.Pid)
	for range 5 {
		if _, err := i.output(ctx, dmaInside(inside, i.path("bin", "dma"), "-q")...); err != nil {
			return err
		}
		for _, pid := range i.processes() {
			dir := filepath.Join("/proc", strconv.Itoa(pid))
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))                                         // #nosec G304 -- a number below /proc; empty: it has ended
			waits, err := os.ReadFile(filepath.Join(dir, "wchan"))                                     // #nosec G304 -- as above
			if err == nil && string(name) == "dma\n" && strings.Contains(string(waits), "nanosleep") { // a signal would break a dialogue
				if process, err := os.FindProcess(pid); err == nil {
					_ = process.Signal(syscall.SIGHUP) // it may have ended
				}
			}
		}
		called, err := os.Stat(i.path("spool/dma/flush"))
		if err != nil {
			return err
		}
		if called.ModTime().Unix() == time.Now().Unix() {
			break
		}
	}
	return nil
}

// dmaInside is the command that runs another one in a jail, which a process is in.
func dmaInside(pid int, command ...string) []string {
	return append([]string{lookTool("nsenter"), "--mount", "--root", "--pid", "--target", strconv.Itoa(pid)}, command...)
}

// dmaTake gives a message to dma, which has answered for it when it ends well. jail is a process in the jail, 0 as long as nobody has looked.
func dmaTake(i *instance, jail *atomic.Int64, from string, to []string, message []byte) error {
	if jail.Load() == 0 {
		pid, err := firstInside(i.o.Dir)
		if err != nil {
			return err
		}
		jail.Store(int64(pid))
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := i.counted(ctx, dmaInside(int(jail.Load()), append([]string{i.path("bin", "dma"), "-i", "-f", from, "--"}, to...)...)...)
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("dma: %w: %s", err, lastLine(string(out)))
	}
	return nil
}

// firstInside finds the first process of the process name space of a jail (NSpid in proc_pid_status(5)).
func firstInside(dir string) (int, error) {
	for _, pid := range supervise.Processes(dir) {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status")) // #nosec G304 -- a number below /proc
		if err != nil {
			continue // it has ended
		}
		line, _ := mtalog.Between(string(status), "NSpid:", "\n")
		if ids := strings.Fields(line); len(ids) > 1 && ids[len(ids)-1] == "1" {
			return pid, nil
		}
	}
	return 0, errors.New("its jail is gone")
}

// The files of the queue: an envelope for each recipient, and beside it the message. A crash leaves envelopes without a message, of submissions that were
// not answered and of deliveries that were done: dma doesn't pick them up.
const (
	dmaEnvelopes queueFiles = "spool/dma/Q*"
	dmaMessages  queueFiles = "spool/dma/M*"
)

func dmaEnvelope(file *os.File) ([]reconcile.QueueEntry, error) {
	dir, name := filepath.Split(file.Name())
	if !isFile(dir + "M" + name[1:]) {
		return nil, nil
	}
	return keyedEnvelope(file, "Sender", "Recipient")
}
