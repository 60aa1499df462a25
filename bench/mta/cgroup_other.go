//go:build !linux

package mta

import "time"

// group is a control group: there are none here.
type group struct{}

func newGroup() *group { return nil }

func (*group) take(int) error                      { return nil }
func (*group) within(command []string) []string    { return command }
func (*group) usage() (time.Duration, int64, bool) { return 0, 0, false }
func (*group) remove() error                       { return nil }
