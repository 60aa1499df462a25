package cmd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/capture"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/session"
)

// keeping is the part of the command line that is about what is kept of each message.
type keeping struct {
	file       string
	durability string
	timeout    time.Duration
	dsnDir     string

	capture      string
	captureSize  string
	captureCount int
	sizeGiven    bool // --capture-size was given
	countGiven   bool // --capture-count was given
}

func (k *keeping) addFlags(f *pflag.FlagSet) {
	f.StringVar(&k.file, "ledger", "", "`file` to append a row to for each connection, transaction and recipient; what it holds already is gone on with")
	f.StringVar(&k.durability, "durability", event.Batch.String(), "what a crash may cost, as `none|batch|ack`: none (rows may be lost), batch (survives the end of the process), ack (no positive reply after a body before its row is on disk)")
	f.DurationVar(&k.timeout, "ledger-timeout", session.DefaultMaxCommit, "with durability ack: how long a client may have to wait for the disk before it is told 451 4.3.0")
	f.StringVar(&k.dsnDir, "dsn-dir", "", "`directory` to keep the delivery status notifications in that come (messages with the null sender, and all at a listener that a plan gives 'dsn: true'): dsn.jsonl, and each one whole as dsn/*.eml; made if it isn't there, gone on with if it is")
	f.StringVar(&k.capture, "capture", "", "where the last messages are kept whole, those refused after their body, too: a `directory|memory:SIZE`, such as memory:64MiB; a directory is made if it isn't there, and holds each one as 000000001.eml, with what is known of it in 000000001.json")
	f.StringVar(&k.captureSize, "capture-size", "1GiB", "how much a directory of --capture may hold before the oldest messages go: a `size` in octets, KiB, MiB or GiB")
	f.IntVar(&k.captureCount, "capture-count", capture.DefaultCount, "how many messages --capture keeps before the oldest go")
}

// configure adds to the server's configuration.
func (k *keeping) configure(cfg *sink.Config, given, timeoutGiven bool, say func(format string, args ...any)) error {
	durability, err := event.ParseDurability(k.durability)
	switch {
	case err != nil:
		return fmt.Errorf("--durability: %w", err)
	case k.file == "" && given:
		return errors.New("--durability: there is no --ledger that it could apply to")
	}
	if timeoutGiven && durability != event.Ack {
		return errors.New("--ledger-timeout: it goes with --durability ack only, which makes clients wait for the disk")
	}
	if k.timeout <= 0 {
		return fmt.Errorf("--ledger-timeout: invalid duration %v (want more than 0)", k.timeout)
	}
	cfg.Ledger = sink.LedgerConfig{Path: k.file, Durability: durability, Timeout: k.timeout, Failing: func(err error) {
		say("the ledger fails, and rows are lost: %v", err)
	}, Progress: func(read, size int64) {
		say("reading the ledger, since the plan counts attempts or greylists: %d of %d MiB", read>>20, size>>20)
	}}
	cfg.DSN = sink.DSNConfig{Dir: k.dsnDir, Failing: func(err error) {
		say("notifications can't be kept, and their senders are told to try again: %v", err)
	}}
	if cfg.Capture, err = k.captureConfig(); err != nil {
		return err
	}
	cfg.Capture.Failing = func(err error) { say("messages can't be captured: %v", err) }
	return nil
}

// memoryPrefix begins a --capture in memory.
const memoryPrefix = "memory:"

// captureConfig reads the flags of --capture.
func (k *keeping) captureConfig() (c sink.CaptureConfig, err error) {
	size, inMemory := strings.CutPrefix(k.capture, memoryPrefix)
	switch {
	case k.capture == "" && k.sizeGiven:
		return c, errors.New("--capture-size: there is no --capture that it could apply to")
	case k.capture == "" && k.countGiven:
		return c, errors.New("--capture-count: there is no --capture that it could apply to")
	case k.capture == "":
		return c, nil
	case inMemory && k.sizeGiven:
		return c, errors.New("--capture-size: it goes with a directory only; --capture memory:SIZE says how much itself")
	case k.capture == "memory":
		return c, errors.New(`--capture: "memory" without a size (want a directory, or memory:SIZE such as memory:64MiB; a directory of that name is ./memory)`)
	case k.captureCount < 1:
		return c, fmt.Errorf("--capture-count: invalid number %d (want 1 or more)", k.captureCount)
	}
	flag := "--capture"
	c.Memory, c.Count = inMemory, k.captureCount
	if !inMemory {
		flag, size, c.Dir = "--capture-size", k.captureSize, k.capture
	}
	c.Octets, err = parseSize(size)
	if err == nil && c.Octets < capture.MinOctets {
		err = fmt.Errorf("%q is too little, or no bound (want 64KiB or more)", size)
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", flag, err)
	}
	return c, nil
}
