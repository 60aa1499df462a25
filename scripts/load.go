package scripts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

// LoadPlan reads the plan that a user names: a file, or else a bundled plan by its name, such as bounce-storm. Errors are *plan.Error; that of a
// file that does not exist says which bundled plans there are.
func LoadPlan(name string) (*plan.File, error) {
	f, bundled := Find(Plans(), name)
	switch info, err := os.Stat(name); {
	case bundled && (err != nil || info.IsDir()):
		return plan.Parse(f.Base()+" (built in)", f.Text())
	case errors.Is(err, fs.ErrNotExist):
		return nil, NoSuchPlan(name)
	case err == nil && info.IsDir():
		return nil, &plan.Error{File: name, Err: errors.New("it is a directory (want a plan file)")}
	}
	return plan.Load(name)
}

// NoSuchPlan is the error of a name that is neither a file nor a bundled plan.
func NoSuchPlan(name string) error {
	return &plan.Error{File: name, Err: fmt.Errorf("no such file%s", Hint(name, Plans(), "plan"))}
}

// Hint says which bundled files there are, for a name that is no file; nothing if a directory is part of it.
func Hint(name string, all []File, what string) string {
	if strings.ContainsAny(name, `/\`) {
		return ""
	}
	return fmt.Sprintf(", and no built-in %s has that name (there are: %s)", what, Names(all))
}

// LoadStorm reads the storm that a user names: a file; or else a built-in one by its number (S1), its name (outage-421), or both, as its
// file has them (s01-outage-421). Errors are *plan.Error.
func LoadStorm(name string) (*plan.File, error) {
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return plan.Load(name)
	}
	for _, f := range Storms() {
		number, rest, _ := strings.Cut(f.Name, "-")
		if strings.EqualFold(name, f.Name) || strings.EqualFold(name, f.Base()) || name == rest || strings.EqualFold(name, StormNumber(number)) {
			return plan.Parse(f.Base()+" (built in)", f.Text())
		}
	}
	return nil, &plan.Error{File: name, Err: fmt.Errorf("no such file%s", Hint(name, Storms(), "storm"))}
}

// StormNumber returns the number of a built-in storm as people write it, S1 of s01-outage-421; empty for other names.
func StormNumber(name string) string {
	number, _, _ := strings.Cut(strings.ToUpper(name), "-")
	if len(number) < 3 || number[0] != 'S' || number[1] < '0' || number[1] > '9' {
		return ""
	}
	return "S" + strings.TrimPrefix(number[1:], "0")
}
