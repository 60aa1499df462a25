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
