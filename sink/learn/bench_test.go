package learn

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
)

// million counts the lines that are written through it.
type million struct {
	w     io.Writer
	lines int
}

func (m *million) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' {
			m.lines++
		}
	}
	return m.w.Write(b)
}

// BenchmarkMillionLines reads a log of Postfix with a million lines and makes its plan. It reports the time per million lines, and the most
// memory that the heap took.
func BenchmarkMillionLines(b *testing.B) {
	path := filepath.Join(b.TempDir(), "mail.log")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	buffered := bufio.NewWriterSize(file, 1<<20)
	w := newWorld(b, stormy, 7, 196_000, "big.example", "full.example", "a.example", "b.example", "c.example")
	counted := &million{w: buffered}
	if err := w.run(counted); err != nil {
		b.Fatal(err)
	}
	if err := buffered.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	b.ResetTimer()
	for range b.N {
		done, most := make(chan struct{}), uint64(0)
		var watching sync.WaitGroup
		watching.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			var s runtime.MemStats
			for {
				runtime.ReadMemStats(&s)
				most = max(most, s.HeapSys-s.HeapReleased)
				select {
				case <-done:
					return
				case <-tick.C:
				}
			}
		})
		l := NewLog()
		files := &mtalog.Files{Names: []string{path}, Location: time.UTC}
		if _, _, err := files.Read(func(e *mtalog.Event) error { l.Add(e); return nil }); err != nil {
			b.Fatal(err)
		}
		m, err := l.Model(usual)
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Plan("a log")
		close(done)
		watching.Wait()
		b.ReportMetric(float64(most)/(1<<20), "MiB")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e9/float64(b.N)*1e6/float64(counted.lines), "s/million-lines")
	b.ReportMetric(float64(counted.lines), "lines")
}
