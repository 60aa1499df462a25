package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	cfg.Run = "RUN"
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// add adds the n-th message, of so many octets.
func add(t *testing.T, s *Store, n, octets int) string {
	t.Helper()
	if !s.Take(octets) {
		t.Fatalf("no room for %d octets", octets)
	}
	text := make([]byte, octets)
	copy(text, fmt.Sprintf("message %d", n))
	m := &Message{Conn: uint64(n), Message: 1, Time: time.Unix(int64(n), 0).UTC(), Sender: "a@x.test", Size: int64(octets),
		Recipients: []Recipient{{Address: fmt.Sprintf("r%d@y.test", n), Code: 250, Delivered: true}}}
	s.Add(m, text)
	return ID("RUN", uint64(n), 1)
}

func ids(messages []Message) (out []string) {
	for _, m := range messages {
		out = append(out, m.ID)
	}
	return out
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestOldestGo(t *testing.T) {
	for _, where := range []string{"memory", "files"} {
		t.Run(where, func(t *testing.T) {
			cfg := Config{Octets: MinOctets, Count: 3}
			if where == "files" {
				cfg.Dir = filepath.Join(t.TempDir(), "mail")
			}
			s := open(t, cfg)
			var all []string
			for n := range 5 {
				all = append(all, add(t, s, n, 100))
			}
			if got := ids(s.List(Query{})); !slices.Equal(got, all[2:]) {
				t.Errorf("kept are %v, want %v", got, all[2:])
			}
			if _, _, err := s.Get(all[0]); !errors.Is(err, ErrGone) {
				t.Errorf("the oldest: %v", err)
			}
			if _, octets, err := s.Get(all[4]); err != nil || !strings.HasPrefix(string(octets), "message 4") {
				t.Errorf("the newest: %.20q, %v", octets, err)
			}
			add(t, s, 5, 30_000)
			big := add(t, s, 6, 31_000)
			if got := ids(s.List(Query{After: all[4], Limit: 1})); len(got) != 1 {
				t.Errorf("one after the fifth: %v", got)
			}
			if !s.Remove(big) || s.Remove(big) {
				t.Error("a message is there once")
			}
			if n := s.Delete(Query{Recipient: "r5@Y.TEST"}); n != 1 {
				t.Errorf("%d messages were deleted", n)
			}
			s.Clear()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.Kept != 0 || st.Octets != 0 || st.Messages != 7 {
				t.Errorf("in the end: %+v", st)
			}
			if where == "files" {
				if left := names(t, cfg.Dir); len(left) > 0 {
					t.Errorf("files are left: %v", left)
				}
			}
		})
	}
}

// TestDirectoryIsGoneOnWith: the next sink sees what there is, goes on with it, and touches nothing that is not a captured message.
func TestDirectoryIsGoneOnWith(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	s := open(t, Config{Dir: dir})
	first := add(t, s, 1, 100)
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another sink") {
		t.Errorf("a second sink: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"mine.eml": "the user's", "000000007.json": "{}", ".000000008.eml": "half", "000000009.eml": "no sidecar", "12.eml": "the user's",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, Config{Dir: dir, Count: 1})
	if m, octets, err := s.Get(first); err != nil || m.Recipients[0].Address != "r1@y.test" || !m.Time.Equal(time.Unix(1, 0)) || len(octets) != 100 {
		t.Errorf("of the first sink: %+v, %.20q, %v", m, octets, err)
	}
	add(t, s, 2, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"000000009.eml", "000000010.eml", "000000010.json", "12.eml", "mine.eml"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

// TestBoundOfDirectoryGrowsSmaller: a smaller bound than the last sink's holds from the start.
func TestBoundOfDirectoryGrowsSmaller(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	s := open(t, Config{Dir: dir})
	for n := range 10 {
		add(t, s, n, 20_000)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, Octets: MinOctets})
	if got := s.List(Query{}); len(got) != 3 || got[2].ID != ID("RUN", 9, 1) {
		t.Errorf("kept are %v", ids(got))
	}
	if st := s.Stats(); st.Octets > MinOctets {
		t.Errorf("%+v", st)
	}
}

// TestFilesThatCannotBeWritten: what fails is counted, told once, and leaves nothing behind.
func TestFilesThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	told := make(chan error, 10)
	s := open(t, Config{Dir: dir, Failing: func(err error) { told <- err }})
	if err := os.MkdirAll(filepath.Join(dir, ".000000001.eml", "in the way"), 0o700); err != nil { // as a full disk is
		t.Fatal(err)
	}
	add(t, s, 1, 100)
	add(t, s, 2, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Failed != 2 || st.Kept != 0 || st.Octets != 0 || st.Error == "" {
		t.Errorf("%+v", st)
	}
	if len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
}

func TestQueries(t *testing.T) {
	m := &Message{Sender: "a@x.test", Token: "e", StormID: "s", MessageID: "<m@x>", Recipients: []Recipient{
		{Address: "b@y.test", Code: 250, Delivered: true}, {Address: "C@y.test", Code: 451},
	}}
	for _, c := range []struct {
		q    Query
		want bool
	}{
		{Query{}, true}, {Query{Sender: "a@X.test"}, true}, {Query{Sender: "A@x.test"}, false}, {Query{Token: "e", StormID: "s", MessageID: "m@x"}, true},
		{Query{MessageID: "n@x"}, false}, {Query{Code: "4xx"}, true}, {Query{Code: "451"}, true}, {Query{Code: "5XX"}, false},
		{Query{Recipient: "b@y.test", Code: "4xx"}, false}, {Query{Recipient: "c@y.test"}, false}, {Query{Outcome: Delivered}, true}, {Query{Outcome: Refused}, false},
	} {
		if got := c.q.matches(m); got != c.want {
			t.Errorf("%+v: %v", c.q, got)
		}
	}
}
