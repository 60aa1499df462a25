package result

import (
	"regexp"
	"slices"
	"strings"
)

// harmless are the environment variables whose values stand in a record: those that this project's scripts and k6's examples take to say how much, how
// long and where. Of all others the name stands there alone, since nobody can tell by a name what is a secret.
var harmless = strings.Fields("CHUNKING DEFER DURATION FACTOR ITERATIONS MAX_FAILED MAX_P95 MECHANISM MEGABYTES MESSAGES MESSAGE_SIZE RATE RECIPIENTS RUN " +
	"SINK_LISTEN SIZE SMTP_HOST SMTP_PORT SPIKE TIMEOUT TLS VUS WRONG")

const dropped = "***"

// PublicCommandLine returns a command line as a record may show it: of the environment variables that it sets (-e NAME=VALUE, -eNAME=VALUE, --env NAME=VALUE,
// --env=NAME=VALUE) the names, and the values of the harmless ones alone; of secret sources, passwords and destinations of output
// that are no files nothing but their kind; and URLs without their user
// information.
func PublicCommandLine(args []string) []string {
	line := make([]string, len(args))
	var hide func(string) string // of the next argument
	for i, arg := range args {
		switch {
		case hide != nil:
			line[i] = hide(arg)
			hide = nil
		case strings.HasPrefix(arg, "--"):
			name, value, given := strings.Cut(arg, "=")
			switch by := secretFlags[name]; {
			case by == nil:
				line[i] = arg
			case given:
				line[i] = name + "=" + by(value)
			default:
				line[i], hide = arg, by
			}
		default:
			line[i], hide = shortFlags(arg)
		}
		line[i] = CutUserInfo(line[i])
	}
	return line
}

// secretFlags say how a flag's value is shown: k6's, smtpbench's and smtpsink's.
var secretFlags = map[string]func(string) string{
	"--env":           assignment,
	"--secret-source": kindOnly("="),
	"--auth-user":     kindOnly(":"),
	"--token":         func(string) string { return dropped },
	"--out":           destination,
	"--log-output":    destination,
	"--traces-output": destination,
}

// files are the destinations whose argument is the name of a file, a switch or a set of figures that holds no secret.
var files = strings.Fields("csv dashboard experimental-csv file json smtpstorm web-dashboard")

// destination shows where output goes, as KIND or KIND=ARGUMENT. Arguments of other kinds may have passwords and tokens in them: header.Authorization=...,
// ?token=...
func destination(text string) string {
	kind, _, ok := strings.Cut(text, "=")
	if !ok || slices.Contains(files, kind) || strings.ContainsAny(kind, "/.") { // the last is smtpbench's: a path
		return text
	}
	return kind + "=" + dropped
}

// assignment shows NAME=VALUE.
func assignment(text string) string {
	name, _, ok := strings.Cut(text, "=")
	if !ok || slices.Contains(harmless, name) {
		return text
	}
	return name + "=" + dropped
}

// kindOnly shows what stands in front of the separator.
func kindOnly(separator string) func(string) string {
	return func(text string) string {
		kind, _, ok := strings.Cut(text, separator)
		if !ok {
			return text
		}
		return kind + separator + dropped
	}
}

// switches are the flags of k6 of one letter that take no value: they may stand in front of another one in one argument.
const switches = "hflpqvw"

// shortSecrets are the flags of one letter whose value may be a secret.
var shortSecrets = map[byte]func(string) string{'e': assignment, 'o': destination}

// shortFlags shows an argument that may be flags of one letter, -e and -o among them; hide is for the next argument.
func shortFlags(arg string) (shown string, hide func(string) string) {
	if len(arg) < 2 || arg[0] != '-' {
		return arg, nil
	}
	for i := 1; i < len(arg); i++ {
		switch {
		case strings.IndexByte(switches, arg[i]) >= 0:
		case shortSecrets[arg[i]] == nil:
			return arg, nil
		case i+1 == len(arg):
			return arg, shortSecrets[arg[i]]
		default:
			value := strings.TrimPrefix(arg[i+1:], "=")
			return arg[:len(arg)-len(value)] + shortSecrets[arg[i]](value), nil
		}
	}
	return arg, nil
}

// userInfo is what stands between "//" and "@" of a URL, also where a password that is not escaped has a slash in it.
var userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#\s@"]*:[^\s"]*@|[^/?#\s"]*@)`)

// CutUserInfo replaces users and passwords in the URLs of a text by "***" (RFC 3986 section 3.2.1).
func CutUserInfo(text string) string { return userInfo.ReplaceAllString(text, "${1}"+dropped+"@") }
