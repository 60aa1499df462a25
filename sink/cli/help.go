// Package cli is what the command lines of smtpsink and smtpbench have in common: help that fits 80 columns and ends in the exit statuses, shell
// completion, and the check that no flag is left empty. It leaves out everything that knows mail.
package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/smtpstorm/xk6-smtp/sink/text"
)

// Exit is an exit status of a command.
type Exit struct {
	Status  int
	Meaning string
}

// exitKey is the annotation that holds a command's exit statuses.
const exitKey = "exit"

// SetExits says what the exit statuses of a command mean, for its help.
func SetExits(cmd *cobra.Command, exits ...Exit) *cobra.Command {
	list, err := json.Marshal(exits)
	if err != nil {
		return cmd // it can't be: numbers and texts
	}
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[exitKey] = string(list)
	return cmd
}

// Exits returns what SetExits said.
func Exits(cmd *cobra.Command) []Exit {
	var exits []Exit
	if err := json.Unmarshal([]byte(cmd.Annotations[exitKey]), &exits); err != nil {
		return nil
	}
	return exits
}

// SetHelp makes a command and its subcommands explain themselves in 80 columns.
func SetHelp(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd.OutOrStdout(), cmd) })
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		writeHelp(cmd.OutOrStderr(), cmd)
		return nil
	})
}

func writeHelp(w io.Writer, cmd *cobra.Command) {
	p := text.PaletteFor(w)
	var b strings.Builder
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	b.WriteString(text.Paragraphs(long, text.Columns) + "\n")
	section := func(title string) { b.WriteString("\n" + p.Heading(title) + "\n") }
	section("Usage:")
	if cmd.Runnable() {
		b.WriteString("  " + text.Wrap(cmd.UseLine(), text.Columns-2, "      ") + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("  " + cmd.CommandPath() + " COMMAND\n")
	}
	if len(cmd.Aliases) > 0 {
		section("Aliases:")
		b.WriteString("  " + cmd.NameAndAliases() + "\n")
	}
	if cmd.HasExample() {
		section("Examples:")
		b.WriteString(cmd.Example + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		section("Commands:")
		table := text.Table{Indent: "  "}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				table.Row(sub.Name(), sub.Short)
			}
		}
		b.WriteString(table.String())
	}
	if cmd.HasAvailableLocalFlags() {
		section("Flags:")
		b.WriteString(strings.TrimRight(trimLines(cmd.LocalFlags().FlagUsagesWrapped(text.Columns)), "\n") + "\n")
	}
	if exits := Exits(cmd); len(exits) > 0 {
		section("Exit status:")
		table := text.Table{Indent: "  "}
		for _, e := range exits {
			table.Row(e.Status, e.Meaning)
		}
		b.WriteString(table.String())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help says more about a command.\n", cmd.CommandPath())
	}
	_, _ = io.WriteString(w, b.String()) // a help that nobody can read is no failure
}

// trimLines removes blanks at the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// FlagNames lists a command's flags by name, each with its hyphens.
func FlagNames(cmd *cobra.Command) []string {
	names := []string{"--help"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			names = append(names, "--"+f.Name)
		}
	})
	sort.Strings(names)
	return names
}

// empty returns the first flag that was given an empty value, as an unset variable of the shell leads to; "" if none was.
func empty(cmd *cobra.Command) string {
	name := ""
	cmd.Flags().Visit(func(f *pflag.Flag) {
		none := false
		switch f.Value.Type() {
		case "string":
			none = f.Value.String() == ""
		case "stringArray":
			if values, ok := f.Value.(pflag.SliceValue); ok {
				for _, v := range values.GetSlice() {
					none = none || v == ""
				}
			}
		}
		if none && name == "" {
			name = "--" + f.Name
		}
	})
	return name
}
