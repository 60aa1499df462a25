package mta

import (
	"bufio"
	"bytes"
	"context"
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

// nullmailerLog runs a program and prints what it says with the heads of syslog: nullmailer-send tells no times.
const nullmailerLog = `use Time::HiRes; use POSIX; $| = 1; my $pid = open(my $said, "-|") // die "$!\n";
if (!$pid) { open(STDERR, ">&STDOUT"); exec @ARGV; die "$ARGV[0]: $!\n" } $SIG{TERM} = sub { kill TERM => $pid };
while (<$said>) { my $t = Time::HiRes::time; printf "%s.%06dZ localhost nullmailer-send[$pid]: %s", POSIX::strftime("%Y-%m-%dT%H:%M:%S", gmtime $t), ($t - int $t) * 1e6, $_ }`

// nullmailerAdapter: a queue of one process that sends one message after the other. It has no listener: an intake gives it mail by
// nullmailer-queue. It tries all its queue whenever there is new mail, and so sooner than its pauses say.
func nullmailerAdapter() adapter {
	return adapter{
		name: "nullmailer", product: "nullmailer", log: "log/console", announces: "Rescanning queue.",
		traits: Traits{ShortestBackoff: time.Second, RetryEarly: 24 * time.Hour},
		find:   fetchedOr("usr/sbin/nullmailer-send"),
		fetch:  func(private string) string { return unpack(private, "nullmailer") },
		layout: nullmailerLayout,
		environment: func(i *instance) []string {
			return append(libraries(i.private()), "NULLMAILER_TEST_PREFIX="+i.o.Dir)
		},
		front: func(i *instance) (front, error) {
			return openIntake(i.addr, func(from string, to []string, message []byte) error { return nullmailerTake(i, from, to, message) })
		},
		queue: nullmailerFiles.listing(nullmailerEnvelope),
		depth: nullmailerFiles.number,
	}
}

func nullmailerLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.relay()
	if err := i.mkdirs("conf", "queue", "queue/queue", "queue/tmp", "queue/failed", "bin", "sbin", "protocols"); err != nil {
		return nil, err
	}
	// Copies, since nullmailer-queue is setuid: such a program takes no prefix.
	root := strings.TrimSuffix(i.program, "usr/sbin/nullmailer-send")
	for _, program := range [...][2]string{{"usr/sbin/nullmailer-send", "sbin"}, {"usr/sbin/nullmailer-queue", "sbin"}, {"usr/bin/nullmailer-dsn", "bin"}, {"usr/bin/nullmailer-inject", "bin"}, {"usr/lib/nullmailer/smtp", "protocols"}} {
		if err := i.copyTo(program[1], filepath.Join(root, program[0])); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(i.path("queue/trigger")); errors.Is(err, fs.ErrNotExist) {
		if _, err := i.output(ctx, "mkfifo", i.path("queue/trigger")); err != nil {
			return nil, err
		}
	}
	whole := func(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + "\n" }
	err = i.configure(
		[2]string{"conf/remotes", fmt.Sprintf("%s smtp --port=%s %s\n", host, port, i.o.Extra)}, [2]string{"conf/pausetime", whole(i.o.Policy.MinimalBackoff)},
		[2]string{"conf/maxpause", whole(i.o.Policy.MaximalBackoff)}, [2]string{"conf/queuelifetime", whole(i.o.Policy.Lifetime)},
		[2]string{"conf/helohost", "nullmailer.bench.test\n"}, [2]string{"conf/me", "nullmailer.bench.test\n"},
		[2]string{"conf/idhost", "nullmailer.bench.test\n"})
	if err != nil {
		return nil, err
	}
	changes, err := filepath.Glob(filepath.Join(root, "usr/share/doc/nullmailer/changelog.Debian.gz"))
	version := "of this system"
	if err == nil && len(changes) > 0 {
		if out, err := i.output(ctx, "zcat", changes[0]); err == nil {
			version, _ = mtalog.Between(string(out), "nullmailer (", ")")
			_, version, _ = strings.Cut(":"+version, "1:")
		}
	}
	i.setVersion(version)
	return []string{lookTool("perl"), "-e", nullmailerLog, i.path("sbin/nullmailer-send")}, err
}

// nullmailerTake gives a message to nullmailer-queue, which has answered for it when it ends well.
func nullmailerTake(i *instance, from string, to []string, message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := i.counted(ctx, i.path("sbin/nullmailer-queue"))
	var in bytes.Buffer
	fmt.Fprintf(&in, "%s\n%s\n\n", from, strings.Join(to, "\n"))
	in.Write(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nullmailer-queue: %w: %s", err, lastLine(string(out)))
	}
	return nil
}

// nullmailerFiles are the messages in the queue.
const nullmailerFiles queueFiles = "queue/queue/*"

// nullmailerEnvelope reads the lines that a file of the queue begins with: the sender, the recipients, and an empty one.
func nullmailerEnvelope(file *os.File) (entries []reconcile.QueueEntry, err error) {
	lines := bufio.NewScanner(file)
	if !lines.Scan() {
		return []reconcile.QueueEntry{{Unnamed: true}}, lines.Err() // it is being written
	}
	sender := strings.Trim(lines.Text(), "<>")
	for lines.Scan() && lines.Text() != "" {
		entries = append(entries, reconcile.QueueEntry{Sender: sender, NullSender: sender == "", Recipient: lines.Text()})
	}
	return entries, lines.Err()
}
