package report

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestPageInABrowser opens the page from a file in a real browser that has no network, and looks at the document that results:
// every section is there with its charts, no script or style was refused, and nothing is wider than the page, in a window as wide as a
// laptop's or as a half of it.
func TestPageInABrowser(t *testing.T) {
	chromium := sinktest.RequireTool(t, "chromium", "chromium")
	pages := []struct {
		name     string
		write    func(w io.Writer) error
		sections []string
		widths   []int
	}{
		{"run", func(w io.Writer) error { return HTML(w, example()) }, []string{"Verdict", "Latency per phase", "Reply codes per stage", "Provenance", "Glossary"}, []int{1280, 600}},
		{"comparison", func(w io.Writer) error { return ComparisonHTML(w, comparison(t)) },
			[]string{"Verdict", "Latency curves", "Where they differ", "Errors by stage and code", "Over time", "Planned, injected, observed", "Provenance"}, []int{1400, 500}},
	}
	for _, page := range pages {
		for _, width := range page.widths {
			t.Run(fmt.Sprint(page.name, " ", width), func(t *testing.T) { testPageInABrowser(t, chromium, width, page.write, page.sections) })
		}
	}
}

func testPageInABrowser(t *testing.T, chromium string, width int, write func(io.Writer) error, sections []string) {
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	// The probe stands in this copy only: the report itself needs no script.
	probe := `<script>addEventListener('load', () => { const e = document.documentElement; document.title =
		'latencies ' + (((l) => l.scrollWidth <= l.parentElement.clientWidth)(document.querySelector('.latency')) ? 'fit' : 'are cut') +
		', width ' + (e.scrollWidth <= e.clientWidth ? 'fits' : e.scrollWidth + ' of ' + e.clientWidth) +
		', charts ' + [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > 50).length +
		', dead links ' + [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.hash.slice(1))).length; });</script></body>`
	text := strings.Replace(b.String(), "</body>", probe, 1)
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// --dump-dom waits for the page's load event, whose listener the probe is: there is nothing that comes later.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
		"--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--user-data-dir="+filepath.Join(dir, "profile"), fmt.Sprintf("--window-size=%d,2000", width), "--enable-logging=stderr", "--dump-dom", "file://"+page)
	var dom, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &dom, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	_, title, _ := strings.Cut(dom.String(), "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	charts := strings.Count(b.String(), "<svg")
	if want := "latencies fit, width fits, charts "; !strings.HasPrefix(title, want) || !strings.HasSuffix(title, "dead links 0") || charts == 0 {
		t.Errorf("the browser says %q", title)
	}
	for _, line := range strings.Split(log.String(), "\n") {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the browser complains: %s", line)
		}
	}
	for _, section := range sections {
		if !strings.Contains(dom.String(), section+"</h2>") {
			t.Errorf("no section %q on the page", section)
		}
	}
}
