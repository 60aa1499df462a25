package mta

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/reconcile"
)

// programs are the queues that use the libraries of applications: small programs of the kind that people write.
//
//go:embed apps
var programs embed.FS

// application is a library by which applications send mail, with the program that uses it.
type application struct {
	name, product string
	programs      []string // in apps; those in Go end in .txt, since they belong to no module of ours
	versions      bool     // fetch can get others than the pinned one
	// find returns what runs the program, "" if something is missing.
	find func(private string) string
	// fetch is the shell command that gets the library, in a version or, for "", the one that is pinned.
	fetch func(private, version string) string
	// version of the library.
	version func(ctx context.Context, i *instance) (string, error)
	// run returns the command, whose last argument is to be the file of settings, and what of the environment goes with it.
	run func(ctx context.Context, i *instance) (command []string, err error)
	// library is where the program finds it, where it has to be told.
	library     func(private string) string
	environment func(i *instance) []string
}

// adapter makes an application an MTA: an intake fills its queue. It tells nobody of failures: applications note them for themselves.
func (a application) adapter() adapter { return a.at("") }

func (a application) at(version string) adapter {
	out := adapter{
		name: a.name, product: a.product, log: "log/events.jsonl", events: true, announces: "ready",
		traits:      Traits{Silent: true, FinalTimeout: true, ShortestBackoff: time.Second},
		find:        a.find,
		fetch:       func(private string) string { return a.fetch(private, version) },
		environment: a.environment,
		layout:      a.layout,
		front: func(i *instance) (front, error) {
			return openIntake(i.addr, newJobs(i).take)
		},
		queue: func(_ context.Context, i *instance, f func(*reconcile.QueueEntry) error) error {
			return eachJob(i, func(path string) error {
				var j job
				text, err := os.ReadFile(path) // #nosec G304 -- in the instance's queue
				if errors.Is(err, fs.ErrNotExist) {
					return nil // it has left the queue
				}
				if err == nil {
					err = json.Unmarshal(text, &j)
				}
				if err != nil {
					return err
				}
				return f(&reconcile.QueueEntry{Sender: j.Sender, NullSender: j.Sender == "", Recipient: j.Recipient})
			})
		},
		depth: func(i *instance) (n int, err error) {
			err = eachJob(i, func(string) error { n++; return nil })
			return n, err
		},
		schedule: applicationSchedule,
	}
	switch {
	case version != "":
		out.name += "@" + version
	case a.versions:
		out.at = a.at
	}
	return out
}

// settings are what the programs read.
type settings struct {
	Host        string    `json:"host"` // of the next hop
	Port        int       `json:"port"`
	Queue       string    `json:"queue"`
	Done        string    `json:"done"`
	Log         string    `json:"log"`
	Library     string    `json:"library,omitempty"`
	Pauses      []float64 `json:"pauses"` // seconds; the last one again and again
	Lifetime    float64   `json:"lifetime"`
	Concurrency int       `json:"concurrency"`
	Timeout     int       `json:"timeout"` // seconds; 0: as the library has it
}

func (a application) layout(ctx context.Context, i *instance) (daemon []string, err error) {
	if err := i.mkdirs("queue", "done", "program"); err != nil {
		return nil, err
	}
	host, port := i.relay()
	s := settings{Host: host, Port: atoi(port), Queue: i.path("queue"), Done: i.path("done"), Log: i.LogPath(), Lifetime: i.o.Policy.Lifetime.Seconds(),
		Concurrency: i.o.Policy.Concurrency, Timeout: int(i.o.FinalTimeout / time.Second)}
	if a.library != nil {
		s.Library = a.library(i.private())
	}
	gaps := i.o.Policy.gaps()
	for n, gap := range gaps {
		if n > 0 && gap == i.o.Policy.MaximalBackoff && gaps[n-1] == gap {
			break
		}
		s.Pauses = append(s.Pauses, gap.Seconds())
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	for _, name := range a.programs {
		program, err := programs.ReadFile("apps/" + name)
		if err == nil {
			err = os.WriteFile(i.path("program", strings.TrimSuffix(name, ".txt")), program, 0o600) // #nosec G703 -- a name of the registry
		}
		if err != nil {
			return nil, err
		}
	}
	if err := i.configure([2]string{"settings.json", string(text) + "\n"}); err != nil {
		return nil, err
	}
	version, err := a.version(ctx, i)
	if err != nil {
		return nil, err
	}
	i.setVersion(version)
	command, err := a.run(ctx, i)
	return append(command, i.path("settings.json")), err
}

// applicationSchedule is what the program reads: it does as it is told, and looks at its queue ten times a second.
func applicationSchedule(_ context.Context, i *instance) (s Schedule, err error) {
	text, err := os.ReadFile(i.path("settings.json"))
	if err != nil {
		return s, err
	}
	var read settings
	if err := json.Unmarshal(text, &read); err != nil {
		return s, err
	}
	s = Schedule{Late: time.Second, Later: time.Second}
	list, _ := json.Marshal(read.Pauses)
	s.Text = "pauses=" + string(list)
	for _, pause := range read.Pauses {
		s.Gaps = append(s.Gaps, time.Duration(pause*float64(time.Second)))
	}
	return s, nil
}

// atoi reads a port, which was checked.
func atoi(port string) int {
	n, _ := strconv.Atoi(port)
	return n
}

func eachJob(i *instance, f func(path string) error) error {
	files, err := filepath.Glob(i.path("queue", "*.json"))
	for _, path := range files {
		if err := f(path); err != nil {
			return err
		}
	}
	return err
}

// nodePackage is the shell command that gets a package from npm.
func nodePackage(private, name, version string) string {
	return "mkdir -p " + private + " && cd " + private + " && npm install --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --prefix . " + name + "@" + version
}

func nodeVersion(name string) func(context.Context, *instance) (string, error) {
	return func(_ context.Context, i *instance) (string, error) {
		about, err := os.ReadFile(filepath.Join(i.private(), "node_modules", name, "package.json")) // #nosec G304 -- of the library that fetch got
		if err != nil {
			return "", err
		}
		var described struct {
			Version string `json:"version"`
		}
		return described.Version, json.Unmarshal(about, &described)
	}
}

// nodeApplication is one of a library from npm.
func nodeApplication(name, product, version string) application {
	return application{
		name: name, product: product, programs: []string{name + ".js", "queue.js"}, versions: true,
		find: func(private string) string {
			if !isFile(filepath.Join(private, "node_modules", name, "package.json")) {
				return ""
			}
			return lookTool("node")
		},
		fetch:       func(private, other string) string { return nodePackage(private, name, cmp.Or(other, version)) },
		version:     nodeVersion(name),
		environment: func(i *instance) []string { return []string{"NODE_PATH=" + filepath.Join(i.private(), "node_modules")} },
		run: func(_ context.Context, i *instance) ([]string, error) {
			return []string{i.program, i.path("program", name+".js")}, nil
		},
	}
}

// goApplication is one of a Go module, whose program is built when an instance is made. library is the path of the package that it imports.
func goApplication(name, product, module, version, program string) application {
	return application{
		name: name, product: product, programs: []string{program + ".txt", "queue.go.txt"}, versions: true,
		find: func(private string) string {
			if !isFile(filepath.Join(private, "go.sum")) {
				return ""
			}
			return lookTool("go")
		},
		fetch: func(private, other string) string {
			return "mkdir -p " + private + " && cd " + private + " && rm -f go.mod go.sum && go mod init app.bench.test && go get " + module + "@v" + cmp.Or(other, version)
		},
		version: func(ctx context.Context, i *instance) (string, error) {
			cmd := exec.CommandContext(ctx, i.program, "list", "-m", "-f", "{{.Version}}", module) // #nosec G204 -- the go command, and a module of the registry
			cmd.Dir = i.private()
			out, err := cmd.Output()
			return strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), err
		},
		run: func(ctx context.Context, i *instance) ([]string, error) {
			return []string{i.path("program", "app")}, buildProgram(ctx, i)
		},
	}
}

// buildTimeout bounds how long a small program is built, with what it imports, on a busy machine.
const buildTimeout = 3 * time.Minute

// buildProgram builds the Go program of an instance, with the modules that fetch got.
func buildProgram(ctx context.Context, i *instance) error {
	for _, name := range [...]string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(i.private(), name)) // #nosec G304 -- what fetch has put there
		if err == nil {
			err = os.WriteFile(i.path("program", name), text, 0o600) // #nosec G703 -- as above
		}
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.program, "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-o", "app", ".") // #nosec G204 -- the go command
	cmd.Dir = i.path("program")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New("go build: " + lastLine(string(out)))
	}
	return nil
}

// nodemailerApplication keeps connections in a pool.
func nodemailerApplication() application {
	return nodeApplication("nodemailer", "nodemailer", "10.6.1")
}

// smtplibApplication opens a connection for each message.
func smtplibApplication() application {
	return application{
		name: "smtplib", product: "Python smtplib", programs: []string{"smtplib_queue.py"},
		find: func(string) string {
			if system := "/usr/bin/python3"; isFile(system) {
				return system // one of the user's may need more of his environment than an instance has
			}
			return lookTool("python3")
		},
		fetch: func(_, _ string) string { return "apt-get install -y python3" },
		version: func(ctx context.Context, i *instance) (string, error) {
			out, err := i.output(ctx, i.program, "-c", "import platform; print(platform.python_version())")
			return string(out), err
		},
		run: func(_ context.Context, i *instance) ([]string, error) {
			return []string{i.program, i.path("program", "smtplib_queue.py")}, nil
		},
	}
}

// phpmailerApplication sends one message after the other over a connection that it keeps.
func phpmailerApplication() application {
	const libraryPath = "usr/share/php/libphp-phpmailer"
	library := func(private string) string {
		for _, root := range [...]string{private, "/"} {
			for _, dir := range [...]string{libraryPath, libraryPath + "/src"} {
				if isFile(filepath.Join(root, dir, "PHPMailer.php")) {
					return filepath.Join(root, dir)
				}
			}
		}
		return ""
	}
	return application{
		name: "phpmailer", product: "PHPMailer", programs: []string{"phpmailer.php"}, library: library,
		find: func(private string) string {
			if library(private) == "" {
				return ""
			}
			if unpacked, _ := filepath.Glob(filepath.Join(private, "usr/bin/php[0-9]*")); len(unpacked) > 0 {
				return unpacked[0]
			}
			return lookTool("php")
		},
		fetch: func(private, _ string) string { return unpack(private, "php-cli libphp-phpmailer") },
		version: func(_ context.Context, i *instance) (string, error) {
			text, err := os.ReadFile(filepath.Join(library(i.private()), "PHPMailer.php"))
			version, _ := mtalog.Between(string(text), "const VERSION = '", "'")
			return version, err
		},
		environment: func(i *instance) []string { return libraries(i.private()) },
		run: func(_ context.Context, i *instance) ([]string, error) {
			command := []string{i.program, "-n"} // without php.ini
			if modules, _ := filepath.Glob(filepath.Join(i.private(), "usr/lib/php/20*")); len(modules) > 0 {
				command = append(command, "-d", "extension_dir="+modules[0], "-d", "extension=ctype")
			}
			return append(command, i.path("program", "phpmailer.php")), nil
		},
	}
}

// gomailApplication opens a connection for each message.
func gomailApplication() application {
	return goApplication("go-mail", "go-mail", "github.com/wneessen/go-mail", "0.8.1", "gomail.go")
}

// smtppoolApplication keeps connections in a pool.
func smtppoolApplication() application {
	return goApplication("smtppool", "smtppool", "github.com/knadh/smtppool", "1.2.1", "smtppool.go")
}
