package sink

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version says in one line what the build of a program knows of itself: a release, or the commit that it was built from, and the
// compiler and platform.
func Version(program string) string {
	release, commit, dirty := "(unknown)", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			release = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = " commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " (modified)"
			}
		}
	}
	return fmt.Sprintf("%s %s%s%s %s %s/%s", program, release, commit, dirty, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
