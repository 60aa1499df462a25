package result

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPublicCommandLine(t *testing.T) {
	for _, test := range []struct{ line, want []string }{
		{[]string{"k6", "run", "-eSMTP_PASSWORD=x", "s.js"}, []string{"k6", "run", "-eSMTP_PASSWORD=***", "s.js"}},
		{[]string{"-e", "PW=a=b", "-e", "RATE=7"}, []string{"-e", "PW=***", "-e", "RATE=7"}},
		{[]string{"--env=MX=secret", "--env", "SMTP_HOST=h", "--env=DURATION=1s"}, []string{"--env=MX=***", "--env", "SMTP_HOST=h", "--env=DURATION=1s"}},
		{[]string{"-e=PW=x", "-qe", "PW=x", "-qePW=x", "-qeRUN=1"}, []string{"-e=PW=***", "-qe", "PW=***", "-qePW=***", "-qeRUN=1"}},
		{[]string{"-e", "PW", "-e"}, []string{"-e", "PW", "-e"}},
		{[]string{"-e", "SMTP_URL=smtp://u:p@h"}, []string{"-e", "SMTP_URL=***"}},
		{[]string{"-e", "SMTP_HOST=smtp://u:p@h:25/x"}, []string{"-e", "SMTP_HOST=smtp://***@h:25/x"}},
		{[]string{"-o", "influxdb=http://u:p@h:8086/db?x=y", "--out=json=https://tok@h/x"}, []string{"-o", "influxdb=***", "--out=json=https://***@h/x"}},
		{[]string{"-x", "x=http://u:p/q@h/a", "http://h:80/a", "https://h/a@b"}, []string{"-x", "x=http://***@h/a", "http://h:80/a", "https://h/a@b"}},
		{[]string{"-qoxk6-kafka=brokers=b,password=x", "-o=kafka=p", "-ocsv=f=g", "--out", "cloud"}, []string{"-qoxk6-kafka=***", "-o=kafka=***", "-ocsv=f=g", "--out", "cloud"}},
		{[]string{"--traces-output=otel=h:4317,header.Authorization=x", "--log-output", "loki=http://h,x=y", "--log-output=file=x.log"}, []string{"--traces-output=otel=***", "--log-output", "loki=***", "--log-output=file=x.log"}},
		{[]string{"-o", "smtpstorm=run.json", "--out", "./a=b", "-o", "results/x=1"}, []string{"-o", "smtpstorm=run.json", "--out", "./a=b", "-o", "results/x=1"}},
		{[]string{"--secret-source=mock=k=v", "--secret-source", "file=x"}, []string{"--secret-source=mock=***", "--secret-source", "file=***"}},
		{[]string{"smtpsink", "--auth-user", "ann:secret", "--auth-user=bob:x"}, []string{"smtpsink", "--auth-user", "ann:***", "--auth-user=bob:***"}},
		{[]string{"--tag", "mx=smtp://u:p@h", "--tag=to=tls", "--user-agent", "me http://u:p@h/", "--block-hostnames=*.test"},
			[]string{"--tag", "mx=smtp://***@h", "--tag=to=tls", "--user-agent", "me http://***@h/", "--block-hostnames=*.test"}},
		{[]string{"-u", "5", "-d5s", "-", "", "--tag", "a=b"}, []string{"-u", "5", "-d5s", "-", "", "--tag", "a=b"}},
	} {
		if got := PublicCommandLine(test.line); !slices.Equal(got, test.want) {
			t.Errorf("%q\ngives    %q\nexpected %q", test.line, got, test.want)
		}
	}
	if !slices.IsSorted(harmless) {
		t.Error("the list is not sorted")
	}
}

// TestHarmlessVariablesAreDocumented holds the list in api.md to the code.
func TestHarmlessVariablesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), " ")
	if list := "`" + strings.Join(harmless, " ") + "`"; !strings.Contains(text, list) {
		t.Errorf("api.md does not have %s", list)
	}
}
