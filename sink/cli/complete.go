package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// Values completes the values of a flag. A flag that the command doesn't have is a mistake in the program, and panics.
func Values(cmd *cobra.Command, flag string, values ...string) {
	complete(cmd, flag, cobra.ShellCompDirectiveNoFileComp, values)
}

// ValuesOrFiles completes the values of a flag that may also be the path of a file.
func ValuesOrFiles(cmd *cobra.Command, flag string, values ...string) {
	complete(cmd, flag, cobra.ShellCompDirectiveDefault, values)
}

// Prefixes completes the beginnings of a flag's value, such as rcpt= of rcpt=450: no blank follows.
func Prefixes(cmd *cobra.Command, flag string, values ...string) {
	complete(cmd, flag, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace, values)
}

func complete(cmd *cobra.Command, flag string, directive cobra.ShellCompDirective, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return values, directive })
	if err != nil {
		panic(err)
	}
}

// shells writes the completion of each shell.
var shells = []struct {
	name  string
	write func(root *cobra.Command, w io.Writer) error
}{
	{"bash", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
	{"fish", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
}

// NewCompletionCommand returns the command that prints a shell's completion. usage makes an error one of bad input.
func NewCompletionCommand(program string, stdout io.Writer, usage func(format string, args ...any) error) *cobra.Command {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "print the completion for a shell: of commands, flags and their values",
		Example: "  # bash, which needs the package bash-completion: in this shell, or for all\n" +
			"  source <(" + program + " completion bash)\n" +
			"  " + program + " completion bash > /etc/bash_completion.d/" + program + "\n\n" +
			"  # zsh: a directory of $fpath\n" +
			"  " + program + " completion zsh > \"${fpath[1]}/_" + program + "\"\n\n" +
			"  # fish\n" +
			"  " + program + " completion fish > ~/.config/fish/completions/" + program + ".fish",
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				for _, n := range names {
					if n == args[0] {
						return nil
					}
				}
				return usage("completion: unknown shell %q (valid: bash zsh fish)", args[0])
			}
			return usage("completion: got %d arguments, want the name of a shell: bash, zsh or fish", len(args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range shells {
				if s.name == args[0] {
					return s.write(cmd.Root(), stdout)
				}
			}
			return nil
		},
	}
	return SetExits(cmd, Exit{0, "printed"}, Exit{2, "bad input"})
}
