// Package scripts is the bundled k6 scripts and the storm plans, within the program: so that smtpbench and smtpsink have them wherever they run.
// README.md of this directory describes the scripts, docs/plans.md the plans. It leaves out running them.
package scripts

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed *.js README.md .dashboard.json plans/*.yaml plans/providers/*.yaml plans/storms/*.yaml
var files embed.FS

// Files returns all of it, by the paths of the project's scripts directory: calm.js, plans/calm.yaml, .dashboard.json and so on.
func Files() fs.FS { return files }

// File is a bundled script or plan.
type File struct {
	Name    string // without its extension, such as bounce-storm: what command lines call it
	Summary string // in a few words
	path    string // within Files
}

// Text returns the file's content.
func (f File) Text() []byte {
	text, err := files.ReadFile(f.path)
	if err != nil {
		return nil // it can't be: TestEveryFileIsListed has read each of them
	}
	return text
}

// Base returns the file's name with its extension: bounce-storm.js or bounce-storm.yaml.
func (f File) Base() string { return path.Base(f.path) }

// Scripts lists the k6 scripts in the order of README.md.
func Scripts() []File { return list(scriptTable, "", ".js") }

// Plans lists the storm plans by name, and after them Providers.
func Plans() []File { return append(list(planTable, "plans/", ".yaml"), Providers()...) }

// Providers lists the plans that copy mailbox providers.
func Providers() []File { return list(providerTable, "plans/providers/", ".yaml") }

// Storms lists the storms that smtpbench storm puts MTAs through, in the order of their numbers.
func Storms() []File { return list(stormTable, "plans/storms/", ".yaml") }

func list(table [][2]string, dir, extension string) []File {
	var all []File
	for _, row := range table {
		all = append(all, File{Name: row[0], Summary: row[1], path: dir + row[0] + extension})
	}
	return all
}

// Find returns the file of that name, with or without its extension.
func Find(all []File, name string) (File, bool) {
	i := slices.IndexFunc(all, func(f File) bool { return f.Name == name || f.Base() == name })
	if i < 0 {
		return File{}, false
	}
	return all[i], true
}

// Names lists what Find knows, parted by blanks.
func Names(all []File) string {
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

// ErrExists is the cause of an error of Write about a file that is there already.
var ErrExists = errors.New("it is there already, and is left as it is: name a new directory")

// Write writes files into a directory, which it creates if need be, and returns their paths. It never overwrites: when one of them exists already,
// none is written. The error names the path.
func Write(dir string, all []File) ([]string, error) {
	var written []string
	for _, f := range all {
		target := filepath.Join(dir, f.Base())
		if _, err := os.Lstat(target); err == nil {
			return nil, fmt.Errorf("%s: %w", target, ErrExists)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- scripts are for others to read
		return nil, plain(dir, err)
	}
	for _, f := range all {
		target := filepath.Join(dir, f.Base())
		if err := create(target, f.Text()); err != nil {
			err = plain(target, err)
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
			return nil, err
		}
		written = append(written, target)
	}
	return written, nil
}

// create writes a file that must not exist yet, and leaves nothing of it behind when it fails.
func create(target string, text []byte) error {
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 G304 -- scripts are for others to read, in the directory that the user names
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(target))
	}
	return nil
}

// plain names the path once, and a file that came up meanwhile as ErrExists does.
func plain(target string, err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrExist):
		err = ErrExists
	case errors.As(err, &p):
		err = p.Err
	}
	return fmt.Errorf("%s: %w", target, err)
}
