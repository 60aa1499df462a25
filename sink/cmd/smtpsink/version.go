package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink"
)

func newVersionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, sink.Version("smtpsink"))
			return err
		},
	}
}
