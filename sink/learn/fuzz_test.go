package learn

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/mtalog"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// FuzzLearn holds that whatever a log says, the plan that is made of it is one.
func FuzzLearn(f *testing.F) {
	for i, format := range mtalog.Formats() {
		log, err := os.ReadFile(filepath.Join("..", "mtalog", "testdata", format+".log"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, log)
		for _, line := range bytes.SplitAfter(log, []byte("\n")) {
			f.Add(i, line)
		}
	}
	f.Fuzz(func(t *testing.T, i int, log []byte) {
		formats := mtalog.Formats()
		format := formats[uint(i)%uint(len(formats))]
		l := NewLog()
		_ = mtalog.Read(format, bytes.NewReader(log), "log", mtalog.Options{Until: worldStart, Location: time.UTC}, func(e *mtalog.Event) error { // any error will do
			l.Add(e)
			return nil
		})
		for _, o := range []Options{{MinCount: 1, Destinations: 10, Phases: 24, Scale: 1}, {MinCount: 1, Destinations: 2, Phases: 1, Scale: 7, Listen: "127.0.0.1:2601"}} {
			m, err := l.Model(o)
			if err != nil {
				return
			}
			text := m.Plan("a log")
			if _, err := plan.Parse("learned.yaml", []byte(text)); err != nil {
				t.Fatalf("%v, in\n%s\nof\n%s", err, text, log)
			}
			m.Summary(format, 1)
		}
	})
}
