//go:build !linux

package conn

import "errors"

// HaveEpoll says whether this system has what NewEpoll needs.
const HaveEpoll = false

// NewEpoll fails: there is no epoll here.
func NewEpoll(Config) (Driver, error) { return nil, errors.ErrUnsupported }
