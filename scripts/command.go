package scripts

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/smtpstorm/xk6-smtp/sink/cli"
	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// NewCommand returns a command that lists files, prints one by its name, or writes them into a directory. what says what they are, such as plan;
// usage makes an error one of bad input.
func NewCommand(cmd *cobra.Command, what string, all []File, stdout io.Writer, usage func(format string, args ...any) error) *cobra.Command {
	dir := ""
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	cmd.ValidArgs = names
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		chosen := all
		if len(args) > 0 {
			chosen = nil
		}
		for _, arg := range args {
			f, ok := Find(all, arg)
			if !ok {
				return usage("%s: no built-in %s is called %q (there are: %s)", cmd.Name(), what, arg, Names(all))
			}
			chosen = append(chosen, f)
		}
		switch {
		case dir != "":
			return write(stdout, dir, chosen, usage)
		case len(args) == 0:
			_, err := io.WriteString(stdout, List(all))
			return err
		case len(args) > 1:
			return usage("%s: got %d names, want one to print, or --write DIR", cmd.Name(), len(args))
		}
		_, err := stdout.Write(chosen[0].Text())
		return err
	}
	cmd.Flags().StringVar(&dir, "write", "", "write them into this `directory`, each under its own name; what is there already is never overwritten")
	return cli.SetExits(cmd, cli.Exit{Status: 0, Meaning: "done"}, cli.Exit{Status: 1, Meaning: "a file could not be written"},
		cli.Exit{Status: 2, Meaning: "bad input, or one of the files is there already: nothing was written"})
}

// List says what each file is, a line each.
func List(all []File) string {
	var table text.Table
	for _, f := range all {
		table.Row(f.Name, f.Summary)
	}
	return table.String()
}

func write(stdout io.Writer, dir string, chosen []File, usage func(format string, args ...any) error) error {
	written, err := Write(dir, chosen)
	switch {
	case errors.Is(err, ErrExists):
		return usage("--write: %v", err)
	case err != nil:
		return fmt.Errorf("--write: %w", err)
	}
	for _, path := range written {
		if _, err := fmt.Fprintln(stdout, path); err != nil {
			return err
		}
	}
	return nil
}
