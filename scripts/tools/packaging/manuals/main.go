// Command manuals writes the man pages and shell completions of smtpsink and smtpbench, generated from their commands, into man/ and completions/
// of a directory. The date of the pages is SOURCE_DATE_EPOCH.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	bench "github.com/smtpstorm/xk6-smtp/bench/cmd"
	"github.com/smtpstorm/xk6-smtp/sink/cli"
	sink "github.com/smtpstorm/xk6-smtp/sink/cmd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manuals DIR")
		os.Exit(2)
	}
	for name, root := range map[string]*cobra.Command{"smtpsink": sink.NewCommand(os.Stdout, os.Stderr), "smtpbench": bench.NewCommand(bench.Host{}, os.Stdout)} {
		if err := write(os.Args[1], name, root); err != nil {
			fmt.Fprintln(os.Stderr, "manuals:", err)
			os.Exit(1)
		}
	}
}

func write(dir, name string, root *cobra.Command) error {
	completions, man := filepath.Join(dir, "completions"), filepath.Join(dir, "man")
	for _, d := range []string{completions, man} {
		if err := os.MkdirAll(d, 0o755); err != nil { // #nosec G301 G703 -- what is released is for everybody to read; the directory is the user's choice
			return err
		}
	}
	for file, generate := range map[string]func(*bytes.Buffer) error{
		name + ".bash": func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_" + name:     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		name + ".fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var b bytes.Buffer
		if err := generate(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(completions, file), b.Bytes(), 0o644); err != nil { // #nosec G306 G703 -- what is released is for everybody to read; the directory is the user's choice
			return err
		}
	}
	prepare(root)
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "smtpstorm", Manual: "smtpstorm"}, man)
}

// prepare gives the pages what only the help has: the exit statuses.
func prepare(cmd *cobra.Command) {
	if exits := cli.Exits(cmd); len(exits) > 0 {
		if cmd.Long == "" {
			cmd.Long = cmd.Short + "."
		}
		var b strings.Builder
		b.WriteString(strings.TrimRight(cmd.Long, "\n") + "\n\n# EXIT STATUS\n")
		for _, e := range exits {
			fmt.Fprintf(&b, "**%d**: %s\n\n", e.Status, e.Meaning)
		}
		cmd.Long = b.String()
	}
	cmd.InitDefaultHelpFlag()
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}
