package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// The compiler and k6's own types, pinned: a newer one must not change what this test says.
var typescriptPackages = []string{"typescript@5.9.3", "@types/k6@1.3.1"}

const tsconfig = `{
  "compilerOptions": {
    "target": "es2022", "module": "esnext", "moduleResolution": "bundler", "lib": ["es2022"], "types": ["k6"],
    "allowJs": true, "checkJs": true, "strict": true, "noEmit": true, "skipLibCheck": false
  },
  "include": ["scripts/*.js", "types/*.d.ts", "wrong/*.js"]
}`

// TestScriptsFitTheTypes has the TypeScript compiler check all scripts and the examples of scripting.md against the declarations, which it finds by the modules'
// names, and sees it complain of a wrong one.
func TestScriptsFitTheTypes(t *testing.T) {
	sinktest.RequireTool(t, "node", "nodejs")
	sinktest.RequireTool(t, "npm", "npm")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	args := append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts"}, typescriptPackages...)
	if out, err := run("npm", args...); err != nil {
		sinktest.Missing(t, "npm can't install %v: %v\n%s", typescriptPackages, err, out)
	}
	put := func(target string, text []byte) {
		t.Helper()
		target = filepath.Join(dir, target)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("tsconfig.json", []byte(tsconfig))
	scripts, err := filepath.Glob("../scripts/*.js")
	if err != nil || len(scripts) < 10 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for from, to := range map[string]string{"index.d.ts": "types", "sink.d.ts": "types"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(filepath.Join(to, from), text)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		put(filepath.Join("scripts", filepath.Base(script)), text)
	}
	page, err := os.ReadFile("scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```javascript\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) < 2 {
		t.Errorf("%d examples in scripting.md", len(examples))
	}
	for i, example := range examples {
		put(filepath.Join("scripts", fmt.Sprintf("example%d.js", i)), example[1])
	}
	tsc := filepath.Join(dir, "node_modules", ".bin", "tsc")
	if out, err := run(tsc, "-p", "."); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
	put("wrong/wrong.js", []byte("import { Client } from 'k6/x/smtp';\nnew Client({ host: 'x', prot: 25 });\n"))
	if out, err := run(tsc, "-p", "."); err == nil {
		t.Errorf("tsc accepts an unknown option:\n%s", out)
	}
}
