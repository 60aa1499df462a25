package result

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Where the sink ran, as written in Provenance.SinkMode.
const (
	SinkEmbedded  = "embedded"   // in the process of smtpbench, apart from the generator
	SinkInProcess = "in-process" // in the generator's process: shares CPU, GC and descriptors
	SinkExternal  = "external"   // a process of its own that the run did not start
)

// Provenance is what a reader needs to run the same again and to know how far
// to trust the figures. The host's name stays out on purpose; Machine tells machines apart.
type Provenance struct {
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`

	Commit string `json:"commit,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"` // the work tree had changes beside the commit
	Seed   uint64 `json:"seed"`
	Plan   Plan   `json:"plan"`
	// SinkMode is SinkEmbedded, SinkInProcess or SinkExternal.
	SinkMode string `json:"sink_mode,omitempty"`
	// MTA is the mail transfer agent between client and sink; nil without one.
	MTA *MTA `json:"mta,omitempty"`

	// Versions maps a component to its version: "go", "k6", "xk6-smtp", "postfix".
	Versions    map[string]string `json:"versions,omitempty"`
	CommandLine []string          `json:"command_line,omitempty"`

	// Machine is the same in records of one machine since it was started, and says nothing else. Empty: not known.
	Machine         string `json:"machine,omitempty"`
	OS              string `json:"os,omitempty"` // "Debian GNU/Linux 13 (trixie)"
	Kernel          string `json:"kernel,omitempty"`
	Arch            string `json:"arch,omitempty"`
	CPUModel        string `json:"cpu_model,omitempty"`
	Cores           int    `json:"cores,omitempty"` // logical, usable by the process
	GOMAXPROCS      int    `json:"gomaxprocs,omitempty"`
	MemoryBytes     int64  `json:"memory_bytes,omitempty"`
	OpenFilesLimit  uint64 `json:"open_files_limit,omitempty"` // RLIMIT_NOFILE, the soft one; 0 unknown
	OpenFilesLimits string `json:"open_files_limits,omitempty"`
}

// Plan is the fault plan in full.
type Plan struct {
	Name   string `json:"name,omitempty"`
	Text   string `json:"text,omitempty"` // as a plan file would say it
	SHA256 string `json:"sha256,omitempty"`
}

// MTA is the agent under test.
type MTA struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Config  string `json:"config,omitempty"` // the settings that differ from its defaults
	// RetryAfterSeconds is how soon after a deferral its retry policy lets it try again; 0: not known.
	RetryAfterSeconds float64 `json:"retry_after_s,omitempty"`
}

// Collect describes this process and machine. root is the file system's root
// (os.DirFS("/")); what it doesn't hold stays empty, so that other systems
// than Linux work. started is the caller's clock.
func Collect(root fs.FS, started time.Time, commandLine []string) Provenance {
	p := Provenance{
		Started:     started,
		CommandLine: PublicCommandLine(commandLine),
		Versions:    map[string]string{"go": runtime.Version()},
		OS:          runtime.GOOS,
		Arch:        runtime.GOARCH,
		Cores:       runtime.NumCPU(),
		GOMAXPROCS:  runtime.GOMAXPROCS(0),
	}
	p.fromBuild(debug.ReadBuildInfo())
	p.fromFiles(root)
	return p
}

const (
	ownModule = "github.com/smtpstorm/xk6-smtp"
	k6Module  = "go.k6.io/k6/v2"
)

func (p *Provenance) fromBuild(info *debug.BuildInfo, ok bool) {
	if !ok {
		return
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			p.Commit = s.Value
		case "vcs.modified":
			p.Dirty = s.Value == "true"
		}
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		switch m.Path {
		case ownModule:
			p.Versions["xk6-smtp"] = m.Version
		case k6Module:
			p.Versions["k6"] = m.Version
		}
	}
}

func (p *Provenance) fromFiles(root fs.FS) {
	if v := field(root, "etc/os-release", "PRETTY_NAME", "="); v != "" {
		p.OS = strings.Trim(v, `"`)
	}
	if b, err := fs.ReadFile(root, "proc/sys/kernel/osrelease"); err == nil {
		p.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := fs.ReadFile(root, "proc/sys/kernel/random/boot_id"); err == nil {
		sum := sha256.Sum256(bytes.TrimSpace(b))
		p.Machine = hex.EncodeToString(sum[:6])
	}
	p.CPUModel = field(root, "proc/cpuinfo", "model name", ":")
	if kb, _, _ := strings.Cut(field(root, "proc/meminfo", "MemTotal", ":"), " "); kb != "" {
		if n, err := strconv.ParseInt(kb, 10, 64); err == nil {
			p.MemoryBytes = n << 10
		}
	}
	if f := strings.Fields(field(root, "proc/self/limits", "Max open files", " ")); len(f) >= 2 {
		p.OpenFilesLimits = f[0] + " soft, " + f[1] + " hard"
		if n, err := strconv.ParseUint(f[0], 10, 64); err == nil {
			p.OpenFilesLimit = n
		}
	}
}

// field returns what follows "name <sep>" on the first line that starts so.
func field(root fs.FS, path, name, sep string) string {
	b, err := fs.ReadFile(root, path)
	if err != nil {
		return ""
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok {
			continue
		}
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), strings.TrimSpace(sep)); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
