package outdir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/smtpstorm/xk6-smtp/bench/input"
	"github.com/smtpstorm/xk6-smtp/bench/supervise"
)

// manifestFile is what marks a directory as results of this program: it lists every file that a run left there. Nothing but such a
// directory, in which nothing was added or changed since, or an empty one is ever replaced.
const manifestFile = ".smtpstorm-results"

const (
	manifestFormat   = "smtpstorm/results/1"
	maxManifestBytes = 1 << 20
)

// manifest is what manifestFile holds.
type manifest struct {
	Format string            `json:"format"`
	ID     string            `json:"id"`    // random
	Files  map[string]string `json:"files"` // SHA-256 by path, with slashes, relative to the directory; an empty folder has a slash at its end, and no sum
}

// writeManifest lists what a directory holds.
func writeManifest(dir string) error {
	m := manifest{Format: manifestFormat, ID: supervise.NewID(), Files: map[string]string{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir || entry.Name() == supervise.OwnerFile {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			inside, err := os.ReadDir(path)
			if len(inside) == 0 {
				m.Files[filepath.ToSlash(name)+"/"] = ""
			}
			return err
		}
		sum, err := sumOf(path)
		m.Files[filepath.ToSlash(name)] = sum
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestFile), append(text, '\n'), 0o644) // #nosec G306 -- results are for others to read
}

// readManifest reads the manifest of a directory. The error is a fs.ErrNotExist when it has none.
func readManifest(dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestFile)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxManifestBytes {
		return nil, fmt.Errorf("its %s is none of this program's", manifestFile)
	}
	text, err := os.ReadFile(path) // #nosec G304 -- a file of this name in the directory that the user names
	if err != nil {
		return nil, input.Reason(err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Format != manifestFormat || len(m.ID) != len(supervise.NewID()) {
		return nil, fmt.Errorf("its %s is none of this program's", manifestFile)
	}
	return &m, nil
}

// known returns an error that names the first thing in the directory that a run did not leave there.
func (m *manifest) known(dir string) error {
	folders := map[string]bool{}
	for name := range m.Files {
		for parent := filepath.Dir(filepath.FromSlash(name)); parent != "."; parent = filepath.Dir(parent) {
			folders[parent] = true
		}
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return input.Reason(err)
		}
		name, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case name == ".", name == manifestFile, name == supervise.OwnerFile:
			return nil
		case entry.IsDir() && folders[name]:
			return nil
		}
		sum, listed := m.Files[filepath.ToSlash(name)]
		if !listed || !entry.Type().IsRegular() {
			return fmt.Errorf("holds %s, which no run left there; name an empty or new directory", input.Printable(name))
		}
		if now, err := sumOf(path); err != nil || now != sum {
			return fmt.Errorf("holds %s, which was changed since the run that left it; name an empty or new directory", input.Printable(name))
		}
		return nil
	})
}

// remove removes what the manifest lists, and the directory if nothing else is in it.
func (m *manifest) remove(dir string) error {
	folders := map[string]bool{}
	var err error
	gone := func(path string) {
		if removeErr := os.Remove(path); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	for name := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("%s lists %s, which is not in it", manifestFile, input.Printable(name))
		}
		gone(filepath.Join(dir, filepath.FromSlash(name)))
		for parent := filepath.Dir(filepath.FromSlash(name)); parent != "."; parent = filepath.Dir(parent) {
			folders[parent] = true
		}
	}
	for len(folders) > 0 { // the deepest first: a name is longer than that of what holds it
		deepest := ""
		for folder := range folders {
			if len(folder) > len(deepest) {
				deepest = folder
			}
		}
		delete(folders, deepest)
		gone(filepath.Join(dir, deepest))
	}
	gone(filepath.Join(dir, supervise.OwnerFile))
	gone(filepath.Join(dir, manifestFile))
	gone(dir)
	return err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- a file in the directory of the results
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
