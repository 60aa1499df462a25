package sink

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Build is what a program knows of itself.
type Build struct {
	Release  string // such as v1.2.3, or "(devel)"; "(unknown)" where it doesn't know
	Commit   string // that it was built from; empty where it doesn't know
	Modified bool   // the commit and what was changed since
}

// ThisBuild returns what the running program knows of itself.
func ThisBuild() Build {
	b := Build{Release: "(unknown)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Release = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Version says in one line what the build of a program knows of itself: a release, or the commit that it was built from, and the
// compiler and platform.
func Version(program string) string {
	b := ThisBuild()
	commit := ""
	if b.Commit != "" {
		commit = " commit " + b.Commit
	}
	if b.Modified {
		commit += " (modified)"
	}
	return fmt.Sprintf("%s %s%s %s %s/%s", program, b.Release, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
