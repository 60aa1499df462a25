package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mkdirs makes directories that belong to whom the agent runs as, and that everybody may enter: daemons of some MTAs run as users of
// their own.
func (i *instance) mkdirs(dirs ...string) error {
	for _, dir := range dirs {
		dir = i.path(dir)
		err := os.MkdirAll(dir, 0o755) // #nosec G301 -- daemons of an MTA run as its own user, and have to enter
		if err == nil {
			err = os.Chmod(dir, 0o755) // #nosec G302 -- as above
		}
		if err == nil && i.drops() {
			err = os.Chown(dir, nobody, nobody)
		}
		if err != nil {
			return fmt.Errorf("lay out %s: %w", i.name, err)
		}
	}
	if i.root || i.drops() {
		return enterable(filepath.Dir(i.o.Dir))
	}
	return nil
}

// configure writes configuration files, by their names below the directory, and keeps their text.
func (i *instance) configure(files ...[2]string) error {
	var all strings.Builder
	for _, f := range files {
		name, text := f[0], f[1]
		fmt.Fprintf(&all, "# %s\n%s\n", name, text)
		if err := os.WriteFile(i.path(name), []byte(text), 0o644); err != nil { // #nosec G306 G703 -- daemons of an MTA read it as its own user; the names are constants of the adapters
			return err
		}
	}
	i.texts.Lock()
	defer i.texts.Unlock()
	i.config = all.String()
	return nil
}

// copyPrograms copies the program into bin, and with it the libraries that were unpacked with it when it lies at path below a private
// directory. Copies lack the setuid and setgid bits, which would have it drop those libraries; and where root has them no other user may
// reach the original.
func (i *instance) copyPrograms(path string) error {
	files := []string{i.program}
	if root := strings.TrimSuffix(i.program, path); root != "" && root != i.program {
		for _, pattern := range []string{"usr/lib/*/*.so*", "lib/*/*.so*"} {
			libraries, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				return err
			}
			files = append(files, libraries...)
		}
	}
	if err := i.mkdirs("bin"); err != nil {
		return err
	}
	for _, file := range files {
		if err := i.copyTo("bin", file); err != nil {
			return err
		}
	}
	return nil
}

// copyTo copies a file, so that it can be run, into a directory of the instance.
func (i *instance) copyTo(dir, file string) error {
	octets, err := os.ReadFile(file) // #nosec G304 -- the program that find found, and what was fetched with it
	if err != nil {
		return err
	}
	// No process may begin meanwhile: a child has all our files until it becomes another program, and a program that is open for
	// writing can't be run (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(i.path(dir, filepath.Base(file)), octets, 0o755) // #nosec G306 G703 -- a program for the user as whom it runs; a base name below the instance's folder
}

func (i *instance) setVersion(version string) {
	i.texts.Lock()
	defer i.texts.Unlock()
	i.version = i.product + " " + strings.TrimSpace(version)
}

// enterable checks that every user can reach what lies below dir.
func enterable(dir string) error {
	for {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the MTA's own user can't enter %s (mode %v): choose a directory that all users can reach", dir, info.Mode().Perm())
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}
