package sink_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/event"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// nodemailerPackage is pinned: another one must not change what this test says.
const nodemailerPackage = "nodemailer@10.6.1"

// nodemailerScript sends a message, and after a failure once more.
const nodemailerScript = `
const { createTransport } = require('nodemailer');
(async () => {
	for (let i = 0; i < 2; i++) {
		try {
			await createTransport({ host: process.argv[2], port: Number(process.argv[3]), ignoreTLS: true }).sendMail({ from: 'a@sender.test', to: 'b@recipient.test', text: 'body' });
			return console.log('sent');
		} catch (e) {
			console.log('failed', e.responseCode);
		}
	}
})();
`

// Nodemailer takes an acceptance of mixed codes for a refusal, yet the 354 has come: it ends the body with a bare dot, by which the sink has
// a message. That it sends again is no fault of its.
func TestJudgedNodemailer(t *testing.T) {
	node := sinktest.RequireTool(t, "node", "nodejs")
	npm := sinktest.RequireTool(t, "npm", "npm")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", nodemailerPackage)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		sinktest.Missing(t, "npm can't install %s: %v\n%s", nodemailerPackage, err, out)
	}
	script := filepath.Join(dir, "send.js")
	if err := os.WriteFile(script, []byte(nodemailerScript), 0o600); err != nil {
		t.Fatal(err)
	}
	eachDriver(t, func(t *testing.T, kind sink.DriverKind) {
		server := faulty(t, kind, "rules: [{name: r, stage: rcpt, match: {attempt: 1}, malformed: mixed-codes}]", func(cfg *sink.Config) { cfg.Ledger.Durability = event.Batch })
		host, port, err := net.SplitHostPort(server.Addr("").String())
		if err != nil {
			t.Fatal(err)
		}
		out, status := runTool(t, node, script, host, port)
		if said := strings.Fields(out); status != 0 || strings.Join(said, " ") != "failed 450 sent" {
			t.Errorf("nodemailer: status %d, %q", status, out)
		}
		fate, verdict := server.fate()
		if n := server.Stats().Messages; fate != reconcile.DuplicatedAmbiguous || verdict.Verdict != "sound" || n != 2 {
			t.Errorf("the fate is %v (%v), and the sink has kept %d messages; want an ambiguous duplicate, sound, and 2", fate, verdict, n)
		}
	})
}
