package xk6smtp

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// document reads one of the documents.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns what stands between a heading and the next one.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("api.md has no heading %q", heading)
	}
	part, _, _ := strings.Cut(rest, "\n#")
	return part
}

var quoted = regexp.MustCompile("`([^`]+)`")

// firstCells are the names in the first column of a section's table.
func firstCells(part string) (names []string) {
	for line := range strings.Lines(part) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
				names = append(names, name[1])
			}
		}
	}
	slices.Sort(names)
	return names
}

var property = regexp.MustCompile(`(?m)(?:^|;)  ?(\w+)\??: `)

// properties are the names in an interface of a declaration.
func properties(t *testing.T, text, name string) (names []string) {
	t.Helper()
	_, rest, found := strings.Cut(text, "export interface "+name+" {\n")
	if !found {
		t.Fatalf("no interface %s", name)
	}
	body, _, _ := strings.Cut(rest, "\n}")
	for _, p := range property.FindAllStringSubmatch(body, -1) {
		names = append(names, p[1])
	}
	slices.Sort(names)
	return names
}

// TestEveryOptionIsDocumented asks the parsers themselves for their keys: an unknown one is refused with the list of the valid ones.
func TestEveryOptionIsDocumented(t *testing.T) {
	v := newVU(t).activate().global("PORT", 25)
	api, types, sinkTypes := document(t, "api.md"), document(t, "index.d.ts"), document(t, "sink.d.ts")
	valid := regexp.MustCompile(`option "nosuch" is unknown \(valid: ([^)]*)\)`)
	for _, test := range []struct {
		heading, call string
		types, owner  string // the interface, if it has a name
		more          []string
	}{
		{"### new Client(options)", "new Client({nosuch: 1})", types, "ClientOptions", nil},
		{"### timeout", "new Client({host: 'x', timeout: {nosuch: 1}})", types, "Timeouts", nil},
		{"### tlsOptions", "new Client({host: 'x', tlsOptions: {nosuch: 1}})", types, "TLSOptions", nil},
		{"### auth", "new Client({host: 'x', auth: {nosuch: 1}})", types, "Credentials", nil},
		{"### client.send(message, options)", "client.send(message, {nosuch: 1})", types, "SendOptions", nil},
		{"### dsn", "client.send(message, {dsn: {nosuch: 1}})", types, "DSNOptions", nil},
		{"### new Message(options)", "new Message({nosuch: 1})", types, "MessageOptions", nil},
		{"### attachments, inline", "new Message({from: 'a@x.test', inline: [{nosuch: 1}]})", types, "Attachment", []string{"cid"}},
		{"### new Workload(options)", "new Workload({nosuch: 1})", types, "WorkloadOptions", nil},
		{"### client.mail(address, options)", "client.mail('a@x.test', {nosuch: 1})", types, "MailParams", nil},
		{"### client.rcpt(address, options)", "client.rcpt('a@x.test', {nosuch: 1})", types, "RcptParams", nil},
		{"### client.connect(options)", "client.connect({nosuch: 1})", types, "", nil},
		{"### client.raw(line, options)", "client.raw('x', {nosuch: 1})", types, "", nil},
		{"### client.bdat(chunk, options)", "client.bdat('x', {nosuch: 1})", types, "", nil},
		{"### Sink.start(plan, options)", "Sink.start(null, {nosuch: 1})", sinkTypes, "SinkOptions", nil},
		{"### Sink.start(flags)", "Sink.start({nosuch: 1})", sinkTypes, "SinkFlags", nil},
		{"### sink.waitFor(token, options)", "Sink.attach(await Sink.start()).waitFor('x', {nosuch: 1})", sinkTypes, "", nil},
	} {
		refusal := v.run(newClientAndMessage + "return await " + test.call)
		found := valid.FindStringSubmatch(refusal)
		if found == nil {
			t.Errorf("%s gives %s", test.call, refusal)
			continue
		}
		keys := strings.Fields(found[1])
		expectLines(t, "api.md: "+test.heading, firstCells(section(t, api, test.heading)), keys...)
		if test.owner != "" {
			declared := append(properties(t, test.types, test.owner), test.more...)
			slices.Sort(declared)
			expectLines(t, "interface "+test.owner, declared, keys...)
		}
	}
}

// TestEveryErrorCodeIsDocumented compares the constants with the table, both ways.
func TestEveryErrorCodeIsDocumented(t *testing.T) {
	source, err := os.ReadFile("errorcode.go")
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(pattern, text string) (list []string) {
		for _, n := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(list, n[1]) {
				list = append(list, n[1])
			}
		}
		slices.Sort(list)
		return list
	}
	var documented []string
	for line := range strings.Lines(section(t, document(t, "api.md"), "## Error codes")) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && !strings.Contains(cells[1], "to") {
			documented = append(documented, numbers(`(1\d\d\d)`, cells[1])...)
		}
	}
	slices.Sort(documented)
	expectLines(t, "error codes in api.md", documented, numbers(`errorCode = (1\d\d\d)\b`, string(source))...)
}

// The entry for k6's registry names what the extension registers.
func TestRegistryEntry(t *testing.T) {
	_, block, _ := strings.Cut(document(t, "registry.md"), "```yaml\n")
	block, _, _ = strings.Cut(block, "```")
	var entries []struct {
		Module, Description, Tier               string
		Imports, Outputs, Subcommands, Versions []string
	}
	if err := yaml.Unmarshal([]byte(block), &entries); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint("github.com/smtpstorm/xk6-smtp", []string{ImportPath, SinkImportPath}, []string{OutputName}, []string{CommandName})
	if len(entries) != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	if e := entries[0]; fmt.Sprint(e.Module, e.Imports, e.Outputs, e.Subcommands) != want {
		t.Errorf("the entry has %v %v %v %v, want %s", e.Module, e.Imports, e.Outputs, e.Subcommands, want)
	}
}
