//go:build !linux

package cmd

import "errors"

// listens refuses: only Linux lets a socket refuse connections that another process has, too.
func listens(int) error { return errors.New("inherited sockets need Linux") }
