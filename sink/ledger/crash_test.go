package ledger

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/event"
)

// crashVariable names the ledger that this process is to fill until it is killed.
const crashVariable = "SMTPSTORM_LEDGER_CRASH_TEST"

// crashChild is what the killed process does, when this process is one: two shards append and flush without end, and each says on
// standard output what was flushed.
func crashChild() bool {
	path := os.Getenv(crashVariable)
	if path == "" {
		return false
	}
	w, _, err := Open(path, OpenConfig{Start: event.Start{Time: epoch, Durability: event.Batch}})
	if err != nil {
		panic(err)
	}
	for shard := range 2 {
		s := w.Shard(nil)
		go func() {
			for n := 0; ; n++ {
				for i := range 3 {
					s.Attempt(attemptOf(fmt.Sprintf("%d-%d-%d", shard, n, i)))
				}
				if _, err := s.Flush(); err != nil {
					panic(err)
				}
				fmt.Printf("%d %d\n", shard, n) // a pipe: unbuffered, and in one piece
			}
		}()
	}
	time.Sleep(time.Minute) // the parent kills it long before
	return true
}

func TestBatchSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	total := 0
	for kill := range 3 { // the same ledger each time
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashVariable+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(30*time.Second, func() { _ = child.Process.Kill() })
		told := bufio.NewScanner(out)
		last := map[string]int{"0": -1, "1": -1}
		seen := 0
		next := func() {
			shard, n, ok := strings.Cut(told.Text(), " ")
			number, err := strconv.Atoi(n)
			if !ok || err != nil || number != last[shard]+1 {
				t.Fatalf("the child said %q after %d", told.Text(), last[shard])
			}
			last[shard] = number
			seen++
		}
		for seen < 200 && told.Scan() {
			next()
		}
		if err := child.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		for told.Scan() { // what it had said before it died counts as well
			next()
		}
		_ = child.Wait() // it was killed
		watchdog.Stop()
		if seen < 200 {
			t.Fatalf("the child ended after %d flushes", seen)
		}
		total += seen

		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		inFile := map[string]int{}
		runs := 0
		if _, err := Each(Input{path, bytes.NewReader(text)}, func(r *event.Row) error {
			if r.Kind == event.KindStart {
				runs++
				clear(inFile)
				return nil
			}
			inFile[string(r.Attempt.Token)]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for shard, n := range last {
			for flush := range n + 1 {
				for i := range 3 {
					token := fmt.Sprintf("%s-%d-%d", shard, flush, i)
					if inFile[token] != 1 {
						t.Fatalf("kill %d: row %s was flushed and is %d times in the file", kill, token, inFile[token])
					}
				}
			}
		}
		if runs != kill+1 {
			t.Errorf("%d runs in the file after %d kills", runs, kill+1)
		}
	}
	t.Logf("%d flushes of 3 rows were told before 3 kills; all are in the file", total)
}

// discardFile takes rows and forgets them.
type discardFile struct{ io.Writer }

func (discardFile) Sync() error          { return nil }
func (discardFile) Truncate(int64) error { return nil }
func (discardFile) Close() error         { return nil }

func BenchmarkFlush(b *testing.B) {
	for _, rows := range []int{1, 50} {
		bench := func(name string, open func(b *testing.B) *Writer) {
			b.Run(fmt.Sprintf("%s/%d-rows", name, rows), func(b *testing.B) {
				w := open(b)
				s := w.Shard(nil)
				a := &goldenRows[6].row.Attempt
				b.ReportAllocs()
				for b.Loop() {
					for range rows {
						s.Attempt(a)
					}
					if _, err := s.Flush(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
		bench("memory", func(b *testing.B) *Writer {
			w, err := NewWriter(WriterConfig{File: discardFile{io.Discard}, Start: event.Start{Durability: event.Batch}})
			if err != nil {
				b.Fatal(err)
			}
			return w
		})
		bench("batch", func(b *testing.B) *Writer {
			w, _, err := Open(filepath.Join(b.TempDir(), "ledger"), OpenConfig{Start: event.Start{Time: epoch, Durability: event.Batch}})
			if err != nil {
				b.Fatal(err)
			}
			return w
		})
	}
}
