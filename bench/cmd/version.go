package cmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
)

func newVersionCommand(stdout *os.File) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  arguments(0, 0, "none"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, sink.Version("smtpbench"))
			return err
		},
	}
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "printed"}, cli.Exit{Status: exitUsage, Meaning: "bad input"})
}
