package mta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// The users that are compiled into OpenSMTPD, with numbers as good as others in a jail.
const opensmtpdUser, opensmtpdQueueUser = 902, 903

func opensmtpdAdapter() adapter {
	return adapter{
		name: "opensmtpd", product: "OpenSMTPD", root: true, log: "log/mail.log", syslog: "dev/log", jailed: true,
		// 400 n^2 seconds after the arrival is the n-th attempt, whatever the configuration says (scheduler_backoff in its source).
		traits: Traits{DSN: true, FixedSchedule: true, RetryEarly: time.Second, ShortestBackoff: 400 * time.Second},
		find: func(private string) string {
			for _, path := range [...]string{filepath.Join(private, "usr/sbin/smtpd"), "/usr/sbin/smtpd"} {
				if isFile(path) && lookTool("unshare") != "" {
					return path
				}
			}
			return ""
		},
		fetch:  func(private string) string { return unpack(private, "opensmtpd") },
		layout: opensmtpdLayout,
		environment: func(i *instance) []string {
			return []string{"LD_LIBRARY_PATH=" + i.path("bin")}
		},
		flush: opensmtpdFlush,
		queue: opensmtpdFiles.listing(func(file *os.File) ([]reconcile.QueueEntry, error) { return keyedEnvelope(file, "sender", "dest") }),
		depth: func(i *instance) (int, error) {
			messages := map[string]struct{}{}
			err := opensmtpdFiles.each(i, func(path string) error {
				messages[filepath.Dir(path)] = struct{}{}
				return nil
			})
			return len(messages), err
		},
	}
}

func opensmtpdLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.listen()
	if strings.Contains(host+i.o.Relay, "[") {
		return nil, errors.New("addresses of IPv6 are not supported")
	}
	if err := i.copyPrograms("/usr/sbin/smtpd"); err != nil {
		return nil, err
	}
	if err := i.mkdirs("run", "spool/smtpd", "lib/opensmtpd/empty"); err != nil {
		return nil, err
	}
	if err := os.Chmod(i.path("spool/smtpd"), 0o711); err != nil { // #nosec G302 -- it insists on that
		return nil, err
	}
	err = i.configure(
		[2]string{"smtpd.conf", fmt.Sprintf("listen on %s port %s hostname opensmtpd.bench.test\nqueue ttl %s\nbounce warn-interval 4h\n%s\naction \"relay\" relay host \"smtp://%s\" helo opensmtpd.bench.test\n"+
			"match from any for any action \"relay\"\n", host, port, seconds(i.o.Policy.Lifetime), i.o.Extra, i.o.Relay)},
		[2]string{"passwd", fmt.Sprintf("root:x:0:0:root:/:/bin/false\nopensmtpd:x:%d:%d::/var/lib/opensmtpd/empty:/bin/false\nopensmtpq:x:%d:%d::/:/bin/false\n",
			opensmtpdUser, opensmtpdUser, opensmtpdQueueUser, opensmtpdQueueUser)},
		[2]string{"group", fmt.Sprintf("root:x:0:\nopensmtpd:x:%d:\nopensmtpq:x:%d:\n", opensmtpdUser, opensmtpdQueueUser)})
	if err != nil {
		return nil, err
	}
	// The usage tells the version, on standard error and with status 1.
	about, _ := i.command(ctx, i.path("bin", "smtpd"), "-h").CombinedOutput()
	version, known := mtalog.Between(string(about), "OpenSMTPD ", "\n")
	if !known {
		return nil, fmt.Errorf("smtpd -h says %q and no version", lastLine(string(about)))
	}
	i.setVersion(version)
	return i.jail([][2]string{{"passwd", "/etc/passwd"}, {"group", "/etc/group"}, {"spool", "/var/spool"}, {"lib", "/var/lib"}, {"run", "/run"}},
		i.path("bin", "smtpd"), "-F", "-f", i.path("smtpd.conf"))
}

// opensmtpdFlush has it try everything now. After a start it takes its queue up bit by bit, and what it hasn't taken up isn't flushed.
func opensmtpdFlush(ctx context.Context, i *instance) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		files, err := opensmtpdFiles.number(i)
		if err != nil {
			return err
		}
		stats, err := i.smtpctl(ctx, "show", "stats")
		if err != nil {
			return err
		}
		known, _ := mtalog.Between(string(stats), "scheduler.envelope=", "\n") // absent: none
		if n, _ := strconv.Atoi(known); n >= files {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it has not taken its queue up: %w", ctx.Err())
		case <-time.After(pollInterval):
		}
	}
	_, err := i.smtpctl(ctx, "schedule", "all")
	return err
}

// smtpctl runs a command of smtpctl(8) in the jail, with the group that may. The root is entered, too: in a chroot, the mount name space
// alone would lead out of it.
func (i *instance) smtpctl(ctx context.Context, args ...string) ([]byte, error) {
	inside := []string{"nsenter", "--mount", "--root", "--target", strconv.Itoa(jailed(i.main.Process.Pid)), "--setgid", strconv.Itoa(opensmtpdQueueUser), "--setuid", "0",
		filepath.Join(filepath.Dir(i.program), "smtpctl")}
	return i.output(ctx, append(inside, args...)...)
}

// opensmtpdFiles are the envelopes in the queue: a file for each recipient, in a directory for its message.
const opensmtpdFiles queueFiles = "spool/smtpd/queue/*/*/????????????????"
