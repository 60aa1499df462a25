package mtatest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/bench/mta"
	"github.com/smtpstorm/xk6-smtp/sink/sinktest"
)

// TestAgents puts every MTA of the registry to the test, all at the same time.
func TestAgents(t *testing.T) {
	for _, c := range mta.Find() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := c.Ready(); err != nil {
				sinktest.Missing(t, "%v", err)
			}
			before := fingerprint(t, c.Name)
			Run(t, func(o mta.Options) (mta.Agent, error) { return mta.New(c.Name, o) })
			if after := fingerprint(t, c.Name); after != before {
				t.Errorf("the system's own %s was touched:\nbefore:\n%s\nafter:\n%s", c.Product, before, after)
			}
		})
	}
}

// fingerprint lists what a system's own service of that name has, with sizes and times of change.
func fingerprint(t *testing.T, name string) string {
	t.Helper()
	var b strings.Builder
	for _, place := range []string{"/etc", "/var/spool", "/var/lib", "/var/log", "/run"} {
		roots, err := filepath.Glob(filepath.Join(place, name+"*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range roots {
			_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err != nil {
					return nil // absent, or not for this user
				}
				if info, err := entry.Info(); err == nil {
					fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
				}
				return nil
			})
		}
	}
	return b.String()
}
