package mta

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// chasquidAdapter: a server in Go for the mail of small domains. Nothing of its queue can be configured. It takes mail for other domains
// from its own users only, over TLS: an authProxy is one. It asks the DNS for each recipient's domain: a nameServer says that all of them are at
// the next hop. Its port there is one of its flags. Senders of other domains get new names (SRS): theirs has to be its own (Options.Home), and
// notifications are delivered to a mailbox, by a program that passes them on to the next hop.
func chasquidAdapter() adapter {
	return adapter{
		name: "chasquid", product: "chasquid", root: true, log: "log/mail.log", jailed: true,
		// nextDelay and giveUpAfter in its internal/queue: one minute at first, twenty at last, and up to one more by chance.
		traits:      Traits{FixedSchedule: true, ShortestBackoff: time.Minute, LongestBackoff: 21 * time.Minute, FixedLifetime: 20 * time.Hour},
		find:        fetchedOr("usr/bin/chasquid", "unshare", "perl"),
		fetch:       func(private string) string { return unpack(private, "chasquid") },
		layout:      chasquidLayout,
		environment: func(*instance) []string { return []string{"GODEBUG=netdns=go"} },
		front: func(i *instance) (front, error) {
			_, port := i.listen()
			return openAuthProxy(i.addr, net4(i.inside(), port), chasquidUser+"@"+i.home(), chasquidPassword)
		},
		service: func(i *instance) (front, error) {
			host, _ := i.relay()
			return openNameServer(i.inside(), host)
		},
		// It has no command for that; after a start it tries all that it finds. What is under way would be sent twice: who ends it waits for that.
		flush: func(ctx context.Context, i *instance) error {
			for end := time.Now().Add(commandTimeout); !chasquidWaits(i) && time.Now().Before(end); time.Sleep(pollInterval) {
			}
			return errors.Join(i.stop(), i.start(ctx))
		},
		queue: chasquidFiles.listing(chasquidItem),
		depth: chasquidFiles.number,
	}
}

// The user as whom mail is submitted, in the database of chasquid-util(1): the password's scrypt, as cheap as can be.
const (
	chasquidUser     = "storm"
	chasquidPassword = "storm" // #nosec G101 -- of a private instance on a loopback address
	chasquidUsers    = `users: { key: "storm" value: { scrypt: { logN: 1 r: 1 p: 1 keyLen: 32 salt: "x" encrypted: "\xb5\xc3\x40\x7f\xdd\x57\x48\x38\x9b\x19\xb8\xc4\x5d\x32\x07\x0d\x0b\x9f\x6b\x35\xf7\x1b\x23\xb3\xec\xdd\x65\xd1\xdc\x28\x8d\x46" } } }
`
)

// chasquidMailbox delivers a message to the next hop. 75 is EX_TEMPFAIL: come again.
const chasquidMailbox = `use IO::Socket::INET; my ($hop, $to) = @ARGV; my $text = do { local $/; <STDIN> }; $text =~ s/\r?\n/\r\n/g; $text =~ s/^\./../mg;
my $s = IO::Socket::INET->new(PeerAddr => $hop, Timeout => 10) or exit 75;
sub said { my $l; do { $l = <$s> // exit 75 } while $l =~ /^\d{3}-/; exit($l =~ /^5/ ? 69 : 75) if $l !~ /^[23]/ }
said(); for ("EHLO chasquid.bench.test", "MAIL FROM:<>", "RCPT TO:<$to>", "DATA", "$text.") { print $s "$_\r\n"; said() } print $s "QUIT\r\n";
`

// inside is the address of an instance's own that nobody else uses: the port of the instance is only its own.
func (i *instance) inside() string {
	_, port := i.listen()
	n := atoi(port)
	return fmt.Sprintf("127.53.%d.%d", n>>8, n&0xff)
}

func chasquidLayout(ctx context.Context, i *instance) (daemon []string, err error) {
	host, port := i.relay()
	if strings.Contains(i.addr+i.o.Relay, "[") {
		return nil, errors.New("addresses of IPv6 are not supported")
	}
	const name = "chasquid.bench.test"
	domain, certificate := filepath.Join("conf/domains", i.home()), filepath.Join("conf/certs", name)
	if err := i.mkdirs("conf", domain, certificate, "data"); err != nil {
		return nil, err
	}
	_, own := i.listen()
	var arguments strings.Builder
	for _, a := range [...]string{i.path("mailbox"), net4(host, port), "%to%"} {
		fmt.Fprintf(&arguments, "mail_delivery_agent_args: %q\n", a)
	}
	err = i.configure(
		[2]string{"conf/chasquid.conf", fmt.Sprintf("hostname: %q\nsubmission_over_tls_address: %q\ndata_dir: %q\nmail_log_path: %q\nsuffix_separators: \"\"\ndrop_characters: \"\"\nmail_delivery_agent_bin: %q\n%s%s",
			name, net4(i.inside(), own), i.path("data"), i.LogPath(), lookTool("perl"), &arguments, i.o.Extra)},
		[2]string{filepath.Join(domain, "users"), chasquidUsers},
		[2]string{"resolv.conf", "nameserver " + i.inside() + "\n"}, [2]string{"mailbox", chasquidMailbox})
	if err != nil {
		return nil, err
	}
	if err := i.selfSigned(certificate, name); err != nil {
		return nil, err
	}
	about, err := i.output(ctx, i.program, "--version")
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(about), "chasquid ")), " ")
	i.setVersion(version)
	return i.jail([][2]string{{"resolv.conf", "/etc/resolv.conf"}}, i.program, "--config_dir="+i.path("conf"), "--testing__outgoing_smtp_port="+port)
}

func net4(host, port string) string { return host + ":" + port }

// home is the domain of senders.
func (i *instance) home() string {
	if i.o.Home == "" {
		return i.name + ".bench.test"
	}
	return i.o.Home
}

// selfSigned writes a certificate of a name that nobody will look at.
func (i *instance) selfSigned(dir, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 1, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, part := range [...]struct {
		file, kind string
		octets     []byte
	}{{"fullchain.pem", "CERTIFICATE", certificate}, {"privkey.pem", "PRIVATE KEY", secret}} {
		if err := os.WriteFile(i.path(dir, part.file), pem.EncodeToMemory(&pem.Block{Type: part.kind, Bytes: part.octets}), 0o600); err != nil { // #nosec G703 -- constants of the adapter, below the instance's folder
			return err
		}
	}
	return nil
}

// chasquidFiles are the messages in the queue.
const chasquidFiles queueFiles = "data/queue/m:*"

// chasquidWaits reports whether all messages of the queue have failed once, and wait.
func chasquidWaits(i *instance) bool {
	err := chasquidFiles.each(i, func(path string) error {
		text, err := os.ReadFile(path) // #nosec G304 -- in the instance's queue
		if err == nil && !bytes.Contains(text, []byte("last_failure_message:")) {
			err = errors.New("it is under way")
		}
		return err
	})
	return err == nil
}

// chasquidItem reads a message of the queue, a protocol buffer as text, as far as it is needed: whose it is, and the recipients that
// aren't done with.
func chasquidItem(file *os.File) (entries []reconcile.QueueEntry, err error) {
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxMessage) // the message is a single line
	sender, recipient, done := "", "", false
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		value = strings.TrimSpace(value)
		if text, err := strconv.Unquote(value); err == nil {
			value = text
		}
		switch key {
		case "from":
			sender = strings.Trim(value, "<>")
		case "address":
			recipient, done = value, false
		case "status":
			done = value != "PENDING" // the first of its kind, which isn't written
		case "}":
			if recipient != "" && !done {
				entries = append(entries, reconcile.QueueEntry{Sender: sender, NullSender: sender == "", Recipient: recipient})
			}
			recipient = ""
		}
	}
	return entries, lines.Err()
}

// maxMessage bounds a line of a queue's file.
const maxMessage = 128 << 20
