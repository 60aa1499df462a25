package k6

import (
	"slices"
	"testing"
)

func TestK6EnvKeepsForeignSettingsOut(t *testing.T) {
	environ := []string{"PATH=/bin", "K6_VUS=7", "K6_OUT=cloud"}
	if got := environment(environ, false); slices.Contains(got, "K6_VUS=7") || !slices.Contains(got, "K6_NO_USAGE_REPORT=true") || !slices.Contains(got, "PATH=/bin") {
		t.Errorf("environment of a bundled script: %q", got)
	}
	if got := environment(environ, true); !slices.Contains(got, "K6_VUS=7") || !slices.Contains(got, "K6_AUTO_EXTENSION_RESOLUTION=false") {
		t.Errorf("environment of the user's script: %q", got)
	}
}
