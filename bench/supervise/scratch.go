package supervise

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// OwnerFile is the name of the file within a scratch directory that says whose it is. Its owner holds a lock on it.
const OwnerFile = ".smtpstorm-owner"

// scratchFormat is the format of OwnerFile.
const scratchFormat = "smtpstorm/scratch/1"

// Environment is the variable by which a process tells to which scratch directory it belongs. Any other variable whose value lies
// below the directory tells the same; see Processes.
const Environment = "SMTPSTORM_SCRATCH"

// Scratch is a directory that lasts no longer than its owner. The zero value is of no use: see NewScratch.
type Scratch struct {
	Dir  string // absolute path
	lock *os.File
}

// owner is what OwnerFile says.
type owner struct {
	Format string `json:"format"`
	ID     string `json:"id"`  // random
	PID    int    `json:"pid"` // for people; a number may be another process's by now
	Keep   *keep  `json:"keep,omitempty"`
}

// keep says what of a directory is worth more than to be cleared away.
type keep struct {
	Name string   `json:"name"` // what its name is to begin with then, beside where it is
	If   []string `json:"if"`   // patterns of files within it: one at least is there, and not empty
}

// NewScratch creates a directory in parent (empty: where temporary files go), whose name is prefix and something random. Only its
// user may enter it.
func NewScratch(parent, prefix string) (*Scratch, error) {
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil && parent == "" {
		return nil, fmt.Errorf("%s is no directory for temporary files: %w (TMPDIR names another)", os.TempDir(), reason(err))
	}
	if err != nil {
		return nil, err
	}
	s := &Scratch{}
	if s.Dir, err = filepath.Abs(dir); err == nil {
		s.lock, err = claim(s.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// reason is what a system call said, without the path.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// claim writes the owner's file and locks it. It is locked before it says anything, so that nobody takes it for one whose owner is
// gone.
func claim(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, OwnerFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- in a directory that was made for it
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(newOwner(nil))
	if err == nil {
		err = tryLock(f)
	}
	if err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func newOwner(k *keep) owner {
	return owner{Format: scratchFormat, ID: NewID(), PID: os.Getpid(), Keep: k}
}

// Keep has the directory outlive its owner, should that be killed: if a file that matches one of the patterns (as filepath.Glob takes them,
// relative to the directory) holds something by then, it is not cleared away but gets a name that begins with the given one, in the same place.
func (s *Scratch) Keep(name string, patterns ...string) error {
	text, err := json.Marshal(newOwner(&keep{Name: name, If: patterns}))
	if err != nil {
		return err
	}
	_, err = s.lock.WriteAt(append(text, '\n'), 0) // it is longer than what stands there
	return err
}

// keeps reports whether there is what the directory is to be kept for.
func (k *keep) keeps(dir string) bool {
	if k == nil || k.Name != filepath.Base(k.Name) || !filepath.IsLocal(k.Name) {
		return false
	}
	for _, pattern := range k.If {
		files, _ := filepath.Glob(filepath.Join(globbed.Replace(dir), pattern)) // a bad pattern matches nothing
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() > 0 {
				return true
			}
		}
	}
	return false
}

// globbed writes a name such that filepath.Glob takes it for itself.
var globbed = strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[", "\\", "\\\\")

// put gives the directory its new name.
func (k *keep) put(dir string) error {
	kept := filepath.Join(filepath.Dir(dir), k.Name+"-"+NewID()[:8])
	if err := os.Rename(dir, kept); err != nil {
		return err
	}
	return os.Remove(filepath.Join(kept, OwnerFile))
}

// NewID returns 32 random hexadecimal digits.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

// Path returns the path of something within the directory.
func (s *Scratch) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// Environ returns the setting that makes a process belong to the directory, as exec.Cmd.Env takes it.
func (s *Scratch) Environ() string { return Environment + "=" + s.Dir }

// Remove removes the directory and all that is in it. Processes that belong to it have to be ended before. A second call does nothing.
func (s *Scratch) Remove() error {
	if s.lock == nil {
		return nil
	}
	err := removeAll(s.Dir)
	return errors.Join(err, s.unlock())
}

// Release gives the directory up: it stays, wherever it was moved meanwhile, without its owner's file. moved is its path now.
func (s *Scratch) Release(moved string) error {
	if s.lock == nil {
		return nil
	}
	return errors.Join(os.Remove(filepath.Join(moved, OwnerFile)), s.unlock())
}

func (s *Scratch) unlock() error {
	f := s.lock
	s.lock = nil
	return f.Close()
}

// errAlive says that a scratch directory's owner is alive.
var errAlive = errors.New("its owner is alive")

// orphaned locks the owner's file of a directory whose owner is gone. The error is errAlive if it isn't, and another one if the
// directory is no scratch directory of this user.
func orphaned(dir string) (*os.File, *owner, error) {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return nil, nil, err
	case !info.IsDir() || !mine(info):
		return nil, nil, fmt.Errorf("%s is no directory of this user", dir)
	}
	path := filepath.Join(dir, OwnerFile)
	if info, err = os.Lstat(path); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || !mine(info) {
		return nil, nil, fmt.Errorf("%s is no file of this user", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the file of this name in a directory of this user
	if err != nil {
		return nil, nil, err
	}
	if err := tryLock(f); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	var o owner
	text, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err == nil && (o.Format != scratchFormat || o.ID == "") {
		err = fmt.Errorf("%s is of another format", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, &o, nil
}

// Alive reports whether a directory is a scratch directory whose owner lives.
func Alive(dir string) bool {
	f, _, err := orphaned(dir)
	if err == nil {
		_ = f.Close() // it was only looked at
	}
	return errors.Is(err, errAlive)
}

// sweepPatience bounds how long the processes of a scratch directory may take to end after they were killed.
const sweepPatience = 5 * time.Second

// sweep ends the processes that belong to a directory whose owner is gone, and removes it, unless it is to be kept.
func sweep(dir string) error {
	f, o, err := orphaned(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = EndProcesses(dir, sweepPatience)
	if o.Keep.keeps(dir) {
		return errors.Join(err, o.Keep.put(dir))
	}
	return errors.Join(err, removeAll(dir))
}

// removeAll removes a scratch directory, its owner's file last: who is killed over it leaves something that can be swept.
func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != OwnerFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// Sweep clears away what programs that were killed have left in a directory (empty: where temporary files go): each scratch directory
// of this user whose name begins with prefix and whose owner is gone, and every process that belongs to it. It returns what it
// removed. Whatever is not provably such a directory is not touched.
func Sweep(parent, prefix string) (swept []string, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if parent, err = filepath.Abs(parent); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing is left where there is nothing
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		dir := filepath.Join(parent, entry.Name())
		f, _, orphanErr := orphaned(dir)
		if orphanErr != nil {
			continue // alive, or none of ours
		}
		_ = f.Close() // sweep takes the lock again
		if sweepErr := sweep(dir); sweepErr == nil {
			swept = append(swept, dir)
		} else if !errors.Is(sweepErr, errAlive) && !errors.Is(sweepErr, fs.ErrNotExist) { // else somebody else was faster
			err = errors.Join(err, sweepErr)
		}
	}
	return swept, err
}
