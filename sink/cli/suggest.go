package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// CheckFlags has each command of a program refuse flags that are unknown, that have a wrong value, or an empty one. usage makes the error
// one of bad input.
func CheckFlags(root *cobra.Command, usage func(error) error) {
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(flagError(cmd, err)) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if flag := empty(cmd); flag != "" {
			return usage(errEmpty(flag))
		}
		return nil
	}
}

// flagError words what the flag library found wrong with a command line: one line that names the flag, what was given, and what would do.
func flagError(cmd *cobra.Command, err error) error {
	said := err.Error()
	if strings.HasPrefix(said, "unknown") {
		said = strings.Replace(said, "unknown shorthand flag: ", "unknown flag: ", 1)
		hint := ""
		if name, ok := strings.CutPrefix(said, "unknown flag: --"); ok {
			if near := nearest("--"+name, FlagNames(cmd)); near != "" {
				hint = "; did you mean " + near + "?"
			}
		}
		return fmt.Errorf("%s%s (valid: %s)", said, hint, strings.Join(FlagNames(cmd), " "))
	}
	if flag, ok := strings.CutPrefix(said, "flag needs an argument: "); ok {
		return fmt.Errorf("%s: its value is missing%s", spelled(cmd, flag), example(cmd, flag))
	}
	return invalid(cmd, said, err)
}

// spelled returns a flag as its help writes it: the library says 'l' in -l for a short one.
func spelled(cmd *cobra.Command, flag string) string {
	if f := lookup(cmd, flag); f != nil {
		return "--" + f.Name
	}
	return flag
}

func lookup(cmd *cobra.Command, flag string) *pflag.Flag {
	if f := cmd.Flags().Lookup(strings.TrimLeft(flag, "-")); f != nil {
		return f
	}
	if letter := strings.Trim(strings.SplitN(flag, " ", 2)[0], "'-"); len(letter) == 1 {
		return cmd.Flags().ShorthandLookup(letter)
	}
	return nil
}

// example says what a flag's value looks like.
func example(cmd *cobra.Command, flag string) string {
	f := lookup(cmd, flag)
	if f == nil {
		return ""
	}
	name, _ := pflag.UnquoteUsage(f)
	if want := wanted[f.Value.Type()]; want != "" {
		name = want
	}
	return fmt.Sprintf(" (want --%s %s)", f.Name, name)
}

// wanted says what values of a type look like.
var wanted = map[string]string{
	"int":      "a whole number",
	"uint64":   "a whole number from 0 to 18446744073709551615",
	"float64":  "a number such as 0.5",
	"duration": "a duration such as 500ms, 30s or 10m",
	"bool":     "true or false, or nothing at all",
}

// invalid rewords: invalid argument "-1" for "--seed" flag: strconv.ParseUint: parsing "-1": invalid syntax.
func invalid(cmd *cobra.Command, said string, err error) error {
	rest, ok := strings.CutPrefix(said, "invalid argument ")
	if !ok {
		return err
	}
	quoted, err2 := strconv.QuotedPrefix(rest)
	value, err3 := strconv.Unquote(quoted)
	if err2 != nil || err3 != nil {
		return err
	}
	after := strings.TrimPrefix(rest[len(quoted):], " for ")
	quotedFlag, err2 := strconv.QuotedPrefix(after)
	names, err3 := strconv.Unquote(quotedFlag)
	if err2 != nil || err3 != nil {
		return err
	}
	flag := names[strings.LastIndex(names, " ")+1:]
	f := lookup(cmd, flag)
	if f == nil {
		return err
	}
	want := wanted[f.Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("%s: invalid value %q (want %s)", flag, value, want)
}

// errEmpty is the error of a flag with an empty value.
func errEmpty(flag string) error {
	return fmt.Errorf("%s: its value is empty (is a variable of your shell not set?)", flag)
}

// UnknownCommand is the error of a word that is no command. also says what else would do, or is empty.
func UnknownCommand(cmd *cobra.Command, word, also string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	hint := ""
	if near := nearest(word, names); near != "" {
		hint = "; did you mean " + near + "?"
	}
	if also != "" {
		also = "; " + also
	}
	return errors.New(fmt.Sprintf("unknown command %q", word) + hint + " (valid: " + strings.Join(names, " ") + also + ")")
}

// nearest returns the known word that was probably meant: at most two letters differ, or it begins with what was written.
func nearest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		d := edits(word, k)
		if len(word) > 3 && strings.HasPrefix(k, word) {
			d = 1
		}
		if d < distance && d < len(strings.TrimLeft(word, "-")) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance: how many letters have to be inserted, deleted or replaced.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			previous, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, previous+cost)
		}
	}
	return row[len(b)]
}
