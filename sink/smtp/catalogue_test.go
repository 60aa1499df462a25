package smtp

import (
	"bufio"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// row is a reply code with one of its texts, as a reference file has it.
type row struct{ code, text string }

// reference reads a reference file, carried over verbatim, and returns the rows that match: the first group is the code, the
// second the text.
func reference(t *testing.T, name, pattern string) []row {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "reference", name))
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(content), -1) {
		rows = append(rows, row{m[1], m[2]})
	}
	return rows
}

// tsv reads a table of the catalogue on its own, without the code that the package reads it with.
func tsv(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("data", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows [][]string
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if line := scanner.Text(); !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return rows
}

// replyCodeFiles are the reference files that have reply codes, with the form of their rows and their number.
var replyCodeFiles = []struct {
	name, pattern string
	rows          int
}{
	{"modes-and-codes.rst", `(?m)^\| (\d{3})  \| (.*?) *\|$`, 30},
	{"reply-and-enhanced-codes.txt", `(?m)^(\d{3}) (.*)$`, 31},
	{"reply-codes-a.txt", `(?m)^(\d{3}) \|\n(.*) \|$`, 33},
	{"reply-codes-b.txt", `(?m)^\| (\d{3}) \| (.*) \|$`, 33},
	{"reply-codes-by-command.md", `(?m)^- (\d{3}) (.*)$`, 111},
}

func TestReplyCodesOfEachReferenceFile(t *testing.T) {
	wordings := make(map[string]map[row]bool)
	for _, fields := range tsv(t, "wordings.tsv") {
		if wordings[fields[1]] == nil {
			wordings[fields[1]] = make(map[row]bool)
		}
		wordings[fields[1]][row{fields[0], fields[2]}] = true
	}
	for _, file := range replyCodeFiles {
		t.Run(file.name, func(t *testing.T) {
			rows := reference(t, file.name, file.pattern)
			if len(rows) != file.rows {
				t.Fatalf("found %d rows in the file, want %d", len(rows), file.rows)
			}
			want := make(map[row]bool)
			for _, r := range rows {
				want[r] = true
			}
			if got := wordings[file.name]; !maps.Equal(got, want) {
				for r := range want {
					if !got[r] {
						t.Errorf("wordings.tsv lacks %q %q", r.code, r.text)
					}
				}
				for r := range got {
					if !want[r] {
						t.Errorf("wordings.tsv has %q %q, which is not in the file", r.code, r.text)
					}
				}
			}
			for _, info := range Codes() {
				code := info.Code
				has := slices.ContainsFunc(rows, func(r row) bool { return r.code == (&Reply{Code: code}).String()[:3] })
				if code == 431 {
					continue // see TestReferenceCodes
				}
				if named := slices.Contains(info.Sources, file.name); named != has {
					t.Errorf("%d: has the file among its sources: %v, but the file has the code: %v", code, named, has)
				}
			}
			for _, r := range rows {
				if _, err := ParseCode(r.code); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if len(wordings) != len(replyCodeFiles) {
		t.Errorf("wordings.tsv names %d sources, want %d", len(wordings), len(replyCodeFiles))
	}
}

// The reference has 36 codes: 35 with texts, and 431 in the bounce table only.
func TestReferenceCodes(t *testing.T) {
	codes := make(map[Code]bool)
	for _, file := range replyCodeFiles {
		for _, r := range reference(t, file.name, file.pattern) {
			code, err := ParseCode(r.code)
			if err != nil {
				t.Fatal(err)
			}
			codes[code] = true
		}
	}
	content, err := os.ReadFile(filepath.Join("testdata", "reference", "modes-and-codes.rst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\| (\d{3}) +`).FindAllStringSubmatch(string(content), -1) {
		code, err := ParseCode(m[1])
		if err != nil {
			t.Fatal(err)
		}
		codes[code] = true
	}
	if len(codes) != 36 {
		t.Errorf("the reference files have %d codes, want 36", len(codes))
	}
	supplement := []Code{235, 334, 455, 523, 535, 555, 556}
	want := slices.Sorted(maps.Keys(codes))
	want = append(want, supplement...)
	slices.Sort(want)
	var got []Code
	for _, info := range Codes() {
		got = append(got, info.Code)
	}
	if !slices.Equal(got, want) {
		t.Errorf("catalogue has\n%v\nwant\n%v", got, want)
	}
	for _, code := range append(supplement, 504) {
		i := slices.IndexFunc(Codes(), func(info CodeInfo) bool { return info.Code == code })
		if sources := Codes()[i].Sources; !slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(s, "RFC ") }) {
			t.Errorf("%d of the supplement has the sources %q, want an RFC among them", code, sources)
		}
	}
}

// Each text is one of the wordings of the source that it names first, but for what brackets it and full stops.
func TestChosenTextIsAWordingOfItsSource(t *testing.T) {
	wordings := tsv(t, "wordings.tsv")
	for _, info := range Codes() {
		from := info.Sources[0]
		switch {
		case from == "ours":
			if info.Code != 431 {
				t.Errorf("%d: only 431 has a text of our own", info.Code)
			}
			continue
		case strings.HasPrefix(from, "RFC "):
			continue
		}
		if !slices.ContainsFunc(wordings, func(w []string) bool {
			return w[0] == (&Reply{Code: info.Code}).String()[:3] && w[1] == from && strings.Trim(w[2], "().") == info.Text
		}) {
			t.Errorf("%d: text %q is no wording of %s", info.Code, info.Text, from)
		}
		different := make(map[string]bool)
		for _, w := range wordings {
			if w[0] == (&Reply{Code: info.Code}).String()[:3] {
				different[w[2]] = true
			}
		}
		if len(different) > 1 && info.Note == "" {
			t.Errorf("%d: sources have %d wordings, but no note says why one was chosen", info.Code, len(different))
		}
	}
}

func TestEnhancedCodesOfTheReferenceFile(t *testing.T) {
	const name = "reply-and-enhanced-codes.txt"
	var want, got []row
	for _, r := range reference(t, name, `(?m)^x\.(\d+\.\d+) (.*)$`) {
		want = append(want, row{r.code, strings.ReplaceAll(r.text, "\u2019", "'")})
	}
	if len(want) != 38 {
		t.Fatalf("found %d enhanced status codes in the file, want 38", len(want))
	}
	var supplement []string
	for _, info := range EnhancedCodes() {
		code := Enhanced{Class: 2, Subject: info.Subject, Detail: info.Detail}.String()[2:]
		if info.Source == name {
			got = append(got, row{code, info.Text})
			continue
		}
		supplement = append(supplement, code)
		if !strings.HasPrefix(info.Source, "RFC ") {
			t.Errorf("x.%s has the source %q, want an RFC", code, info.Source)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("catalogue has\n%v\nwant\n%v", got, want)
	}
	if want := []string{"0.0", "1.10", "5.6", "6.7", "7.0", "7.1", "7.8", "7.9", "7.10", "7.11", "7.12"}; !slices.Equal(supplement, want) {
		t.Errorf("supplement has %v, want %v", supplement, want)
	}
}

func TestDefaultEnhanced(t *testing.T) {
	for _, test := range []struct {
		stage Stage
		code  Code
		want  string
	}{
		{StageConnect, 220, ""},
		{StageConnect, 554, ""},
		{StageHelo, 250, ""},
		{StageEhlo, 421, ""},
		{StageData, 354, ""},
		{StageAuth, 334, ""},
		{StageStartTLS, 220, "2.0.0"},
		{StageMail, 250, "2.1.0"},
		{StageRcpt, 250, "2.1.5"},
		{StageMessage, 250, "2.0.0"},
		{StageAuth, 235, "2.7.0"},
		{StageQuit, 221, "2.0.0"},
		{StageRcpt, 421, "4.3.0"},
		{StageRcpt, 450, "4.2.0"},
		{StageStartTLS, 454, "4.7.0"},
		{StageMessage, 452, "4.3.1"},
		{StageUnknown, 500, "5.5.2"},
		{StageMail, 503, "5.5.1"},
		{StageData, 554, "5.5.1"},
		{StageMessage, 554, "5.3.0"},
		{StageRcpt, 550, "5.1.1"},
		{StageMessage, 550, "5.1.1"},
		{StageMail, 550, "5.7.1"},
		{StageMail, 552, "5.3.4"},
		{StageMessage, 552, "5.2.2"},
		{StageAuth, 535, "5.7.8"},
		{StageAuth, 534, "5.7.9"},
		{StageAuth, 538, "5.7.11"},
		{StageRcpt, 556, "5.1.10"},
		{StageRcpt, 599, "5.0.0"},
		{StageRcpt, 299, "2.0.0"},
	} {
		if got := DefaultEnhanced(test.stage, test.code).String(); got != test.want {
			t.Errorf("%v %d: %q, want %q", test.stage, test.code, got, test.want)
		}
	}
}

// Every code of the catalogue has a default at every stage that wants one, with the class of its first digit and a text.
func TestDefaultEnhancedIsOfTheCatalogue(t *testing.T) {
	defaults := make(map[string]bool)
	for _, fields := range tsv(t, "default-enhanced.tsv") {
		defaults[fields[1]] = defaults[fields[1]] || fields[0] == "*"
	}
	for _, info := range Codes() {
		if info.Code.Class() == 3 {
			continue
		}
		if !defaults[(&Reply{Code: info.Code}).String()[:3]] {
			t.Errorf("default-enhanced.tsv has no row for * %d", info.Code)
		}
		for s := range Stage(NumStages) {
			e := DefaultEnhanced(s, info.Code)
			if s == StageConnect || s == StagePregreet || s == StageHelo || s == StageEhlo {
				continue
			}
			if e.Class != info.Code.Class() {
				t.Errorf("%v %d: %v has the wrong class", s, info.Code, e)
			}
			if _, ok := catalogue().texts[[2]uint16{e.Subject, e.Detail}]; !ok {
				t.Errorf("%v %d: %v has no text", s, info.Code, e)
			}
		}
	}
}

// A default that names RFC 5248 as its source stands in that registry.
func TestDefaultEnhancedAgreesWithTheRegistry(t *testing.T) {
	checked := 0
	for _, fields := range tsv(t, "default-enhanced.tsv") {
		if fields[3] != "RFC 5248" {
			if fields[4] == "" {
				t.Errorf("%s %s is not from the registry and has no note that says why", fields[0], fields[1])
			}
			continue
		}
		code, err := ParseCode(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseEnhanced(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(EnhancedCodes(), func(info EnhancedInfo) bool {
			return info.Subject == e.Subject && info.Detail == e.Detail
		})
		if i < 0 {
			t.Errorf("%v is not in the catalogue", e)
			continue
		}
		if info := EnhancedCodes()[i]; !info.AnyReply && !slices.Contains(info.Replies, code) {
			t.Errorf("%d %v: the registry associates %v with x.%d.%d", code, e, info.Replies, e.Subject, e.Detail)
		}
		checked++
	}
	if checked < 30 {
		t.Errorf("checked %d rows only", checked)
	}
}

func TestNewReply(t *testing.T) {
	for _, test := range []struct {
		stage    Stage
		code     Code
		enhanced string
		text     []string
		want     string
	}{
		{StageRcpt, 550, "", nil, "550 5.1.1 Requested action not taken: mailbox unavailable\r\n"},
		{StageRcpt, 550, "5.7.1", nil, "550 5.7.1 Requested action not taken: mailbox unavailable\r\n"},
		{StageMessage, 250, "", []string{"Ok: queued"}, "250 2.0.0 Ok: queued\r\n"},
		{StageMessage, 554, "", []string{"No", "thanks"}, "554-5.3.0 No\r\n554 5.3.0 thanks\r\n"},
		{StageData, 354, "", nil, "354 Start mail input; end with <CRLF>.<CRLF>\r\n"},
		{StageConnect, 220, "", []string{"mx.example ESMTP"}, "220 mx.example ESMTP\r\n"},
		{StageConnect, 554, "5.7.1", []string{"Go away"}, "554 5.7.1 Go away\r\n"},
		{StageAuth, 334, "", nil, "334 \r\n"},
		{StageRcpt, 599, "", nil, "599 5.0.0 Permanent negative completion\r\n"},
		{StageRcpt, 499, "", nil, "499 4.0.0 Transient negative completion\r\n"},
		{StageRcpt, 399, "", nil, "399 Positive intermediate\r\n"},
		{StageRcpt, 299, "", nil, "299 2.0.0 Positive completion\r\n"},
		{StageMessage, 431, "", nil, "431 4.3.1 Requested action not taken: not enough memory or disk space\r\n"},
	} {
		var e Enhanced
		if err := e.UnmarshalText([]byte(test.enhanced)); err != nil {
			t.Fatal(err)
		}
		r, err := NewReply(test.stage, test.code, e, test.text...)
		if err != nil {
			t.Errorf("%v %d: %v", test.stage, test.code, err)
			continue
		}
		if got := string(r.Append(nil, true)); got != test.want {
			t.Errorf("%v %d:\n%q, want\n%q", test.stage, test.code, got, test.want)
		}
	}
	for _, test := range []struct {
		code     Code
		enhanced Enhanced
		text     string
		want     string
	}{
		{199, Enhanced{}, "x", "invalid reply code 199 (want 200 to 599)"},
		{600, Enhanced{}, "x", "invalid reply code 600 (want 200 to 599)"},
		{450, Enhanced{5, 1, 1}, "x", "enhanced status code 5.1.1 contradicts reply code 450: its class must be 4"},
		{354, Enhanced{2, 0, 0}, "x", "enhanced status code 2.0.0 contradicts reply code 354: its class must be 3"},
		{250, Enhanced{}, "a\r\nb", `reply text "a\r\nb" holds CR, LF or NUL`},
	} {
		r, err := NewReply(StageRcpt, test.code, test.enhanced, test.text)
		if err == nil || err.Error() != test.want {
			t.Errorf("NewReply(%d, %v, %q) = %v, %v; want error %q", test.code, test.enhanced, test.text, r, err, test.want)
		}
	}
}

func TestNewReplyKeepsItsOwnLines(t *testing.T) {
	lines := []string{"one"}
	r, err := NewReply(StageRcpt, 250, Enhanced{}, lines...)
	if err != nil {
		t.Fatal(err)
	}
	lines[0] = "two"
	if r.Lines[0] != "one" {
		t.Errorf("the reply's line became %q", r.Lines[0])
	}
}

// TestTextAt: the few texts that belong to one stage, and the general text everywhere else.
func TestTextAt(t *testing.T) {
	general := func(c Code) string {
		text, _ := Text(c)
		return text
	}
	for _, tc := range []struct {
		stage Stage
		code  Code
		want  string
	}{
		{StageStartTLS, 220, "Ready to start TLS"},
		{StageConnect, 220, general(220)},
		{StageAuth, 454, "Temporary authentication failure"},
		{StageStartTLS, 454, general(454)},
		{StageAuth, 530, "Authentication required"},
		{StageMail, 530, general(530)},
		{StageMessage, 554, general(554)},
	} {
		if got, ok := TextAt(tc.stage, tc.code); !ok || got != tc.want {
			t.Errorf("text of %d at %v: %q, %v; want %q", tc.code, tc.stage, got, ok, tc.want)
		}
	}
	if _, ok := TextAt(StageAuth, 299); ok {
		t.Error("299 has a text")
	}
}
