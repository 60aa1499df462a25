package session_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// estimates are the draws and delays of the plans.
var estimates = regexp.MustCompile(`(?m)^ +(delay: .*|- \{weight: \S+, reply: .*)\n`)

// greeted begins the dialogue of a connection at a time.
func greeted(at, name, client string) string {
	return at + " " + name + " " + client + " -> 220\n" + at + " " + name + " HELO c -> 250\n"
}

// begun are so many messages, each begun and given up.
func begun(at, name string, n int) string {
	return strings.Repeat(at+" "+name+" MAIL FROM:<s@c.example> -> 250\n"+at+" "+name+" RSET -> 250\n", n)
}

// visits are so many connections that have a message each, and go.
func visits(at, name, client string, n int) string {
	return strings.Repeat(greeted(at, name, client)+begun(at, name, 1)+at+" "+name+" gone ->\n", n)
}

// TestProviders: each plan that copies a provider shows what is characteristic when it should, and not before. Draws and delays are left out.
func TestProviders(t *testing.T) {
	const a, b = "192.0.2.1", "192.0.2.2"
	scripts := map[string]string{
		"gmail": greeted("0s", "a", a) + begun("0s", "a", 49) + "0s a MAIL FROM:<s@c.example> -> 250\n" +
			strings.Repeat("0s a RCPT TO:<busy@gmail.test> -> 250\n", 60) + "0s a RCPT TO:<busy@gmail.test> -> 450\n0s a RCPT TO:<idle@gmail.test> -> 250\n1s a RCPT TO:<busy@gmail.test> -> 250\n" +
			"1s a RSET -> 250\n1s a MAIL FROM:<s@c.example> -> 421\n",
		"outlook": visits("0s", "a", a, 2000) + greeted("1h", "b", a) + "1h b MAIL FROM:<s@c.example> -> 451\n1h b MAIL FROM:<> -> 250\n1h b RSET -> 250\n" +
			greeted("1h", "c", b) + "1h c MAIL FROM:<s@c.example> -> 250\n24h b MAIL FROM:<s@c.example> -> 250\n",
		"yahoo": greeted("0s", "a", a) + begun("0s", "a", 20) + "0s a MAIL FROM:<s@c.example> -> 421\n" + visits("0s", "b", a, 980) +
			greeted("59m", "b", a) + "59m b MAIL FROM:<s@c.example> -> 421\n" + greeted("1h", "b", a) + "1h b MAIL FROM:<s@c.example> -> 250\n",
		"icloud": greeted("0s", "a", a) + begun("0s", "a", 5) + "0s a MAIL FROM:<s@c.example> -> 421\n" + visits("0s", "b", a, 1995) +
			greeted("59m", "b", a) + "59m b MAIL FROM:<s@c.example> -> 421\n" + greeted("1h", "b", a) + "1h b MAIL FROM:<s@c.example> -> 250\n",
		"comcast": greeted("0s", "a", a) + begun("0s", "a", 300) + "0s a MAIL FROM:<s@c.example> -> 452\n4m59s a MAIL FROM:<s@c.example> -> 452\n5m a MAIL FROM:<s@c.example> -> 250\n" +
			greeted("5m", "b", b) + "5m b MAIL FROM:<s@c.example> -> 250\n",
		"gmx": greeted("0s", "a", a) + begun("0s", "a", 20) + "0s a MAIL FROM:<s@c.example> -> 421\n" +
			greeted("0s", "b", a) + greeted("0s", "c", a) + greeted("0s", "d", a) + greeted("0s", "e", a) + "0s f " + a + " -> 421\n0s g " + b + " -> 220\n",
		"orange": greeted("0s", "a", a) + greeted("0s", "b", a) + "0s c " + a + " -> 421\n0s a gone ->\n" + "0s c " + a + " -> 220\n" +
			begun("0s", "b", 100) + "0s b MAIL FROM:<s@c.example> -> 421\n",
		"qq": visits("0s", "a", a, 60) + greeted("0s", "a", a) + "0s a MAIL FROM:<s@c.example> -> 550\n59s a MAIL FROM:<s@c.example> -> 550\n60s a MAIL FROM:<s@c.example> -> 250\n" +
			greeted("60s", "b", b) + "60s b MAIL FROM:<s@c.example> -> 250\n",
		"mixed-internet": greeted("0s", "a", a) + "0s a MAIL FROM:<s@c.example> -> 250\n" + strings.Repeat("0s a RCPT TO:<r@qq.test> -> 250\n", 60) + "0s a RCPT TO:<r@qq.test> -> 550\n" +
			strings.Repeat("0s a RCPT TO:<r@gmail.test> -> 250\n", 60) + "0s a RCPT TO:<r@gmail.test> -> 450\n" + strings.Repeat("0s a RCPT TO:<r@comcast.test> -> 250\n", 300) +
			"0s a RCPT TO:<r@comcast.test> -> 452\n0s a RCPT TO:<r@orange.test> -> 250\n0s a RCPT TO:<r@elsewhere.test> -> 250\n60s a RCPT TO:<r@qq.test> -> 250\n",
	}
	paths, err := filepath.Glob("../../scripts/plans/providers/*.yaml")
	if err != nil || len(paths) != len(scripts) {
		t.Fatalf("%d plans and %d scripts, %v", len(paths), len(scripts), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil || scripts[name] == "" {
				t.Fatal("no script", err)
			}
			clients(t, strings.Replace(estimates.ReplaceAllString(string(text), ""), "version: 1\n", "", 1), scripts[name])
		})
	}
}
