package fault

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// reference reads the verbatim copy of a reference file, and fails if it is no longer verbatim.
func reference(t *testing.T, name, sha string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "reference", name))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != sha {
		t.Fatalf("%s was altered: SHA-256 is %x, want %s", name, sum, sha)
	}
	return string(data)
}

// TestReplyCodesByCommand proves that the stage table "source" is reply-codes-by-command.md, row by row.
func TestReplyCodesByCommand(t *testing.T) {
	text := reference(t, "reply-codes-by-command.md", "d1c0e83a698eac45eac18a7925d0f9f654d881a653698953116dd6675d4a5718")
	var want []StageCode
	stages := map[string]bool{}
	stage := smtp.Stage(0)
	heading, row := regexp.MustCompile(`^## (.+)$`), regexp.MustCompile(`^- (\d{3}) (.+)$`)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			name := strings.ToLower(strings.Trim(m[1], "* "))
			if name == "received data" {
				name = "message"
			}
			var err error
			if stage, err = smtp.ParseStage(name); err != nil {
				t.Fatalf("heading %q is no stage: %v", line, err)
			}
			stages[name] = true
		}
		if m := row.FindStringSubmatch(line); m != nil {
			want = append(want, StageCode{Stage: stage, Code: mustCode(m[1]), Source: m[2]})
		}
	}
	if len(stages) != 17 || len(want) != 111 {
		t.Fatalf("the reference has %d stages and %d pairs, want 17 and 111", len(stages), len(want))
	}
	got := Source()
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("row %d of the source table is %+v, want %+v", i+1, got[min(i, len(got)-1)], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("the source table has %d rows, want %d", len(got), len(want))
	}
}

// TestModesAndCodes proves that the mode tables are those of modes-and-codes.rst, and that the catalogue has its codes.
func TestModesAndCodes(t *testing.T) {
	text := reference(t, "modes-and-codes.rst", "f1aaa8e702acaa8c76eb8f8161400d2bb98bce758120f338e45c9bb65f60c36f")
	sections := map[string][]smtp.Code{}
	section, previous := "", ""
	cell := regexp.MustCompile(`\b\d{3}\b`)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && strings.Trim(line, "=") == "" {
			section = previous
		}
		if strings.HasPrefix(line, "|") {
			cells := line
			if section == "All" {
				cells = strings.SplitN(line, "|", 3)[1]
			}
			for _, code := range cell.FindAllString(cells, -1) {
				sections[section] = append(sections[section], mustCode(code))
			}
		}
		previous = line
	}
	for _, c := range []struct {
		section string
		mode    Mode
		codes   int
	}{{"Accept", ModeAccept, 4}, {"Bounce", ModeBounce, 16}, {"Offline", ModeOffline, 1}, {"Unavailable", ModeUnavailable, 1}} {
		want := sections[c.section]
		if len(want) != c.codes {
			t.Fatalf("section %s of the reference has %d codes, want %d", c.section, len(want), c.codes)
		}
		if got := ModeCodes(c.mode); !slices.Equal(got, want) {
			t.Errorf("mode %v has the codes %v, want %v", c.mode, got, want)
		}
	}
	if len(sections["All"]) != 30 {
		t.Errorf("section All of the reference has %d codes, want 30", len(sections["All"]))
	}
	for _, code := range sections["All"] {
		if _, ok := smtp.Text(code); !ok {
			t.Errorf("the catalogue has no text for code %d of section All", code)
		}
	}
}
