package sinktest_test

import (
	"context"
	"fmt"
	"testing"
)

// exampleTB stands in for the *testing.T that an example doesn't have: what a test reports it prints, where the example's output differs then.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

// exampleTest returns such a test, and what ends it.
func exampleTest() (testing.TB, func()) {
	t := &exampleTB{}
	return t, func() {
		for len(t.cleanups) > 0 {
			last := t.cleanups[len(t.cleanups)-1]
			t.cleanups = t.cleanups[:len(t.cleanups)-1]
			last()
		}
	}
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Context() context.Context          { return context.Background() }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
