package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Watchdog is a process that clears away after this one. A nil Watchdog watches nothing.
type Watchdog struct {
	mu    sync.Mutex
	to    io.WriteCloser // closed by the kernel when this process ends
	ended <-chan error
}

// Orders to a watchdog: a line each, followed by the path of a scratch directory.
const (
	orderWatch  = "+"
	orderForget = "-"
)

// StartWatchdog starts a watchdog by a command whose process does nothing but call Watch with its standard input. It has a session of
// its own, and neither this program's terminal nor its working directory.
func StartWatchdog(command []string) (*Watchdog, error) {
	if len(command) == 0 {
		return nil, errors.New("no command given for the watchdog")
	}
	cmd := exec.Command(command[0], command[1:]...) // #nosec G204 -- this very program; no shell
	cmd.Dir = "/"
	apart(cmd)
	to, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return &Watchdog{to: to, ended: ended}, nil
}

// Watch has a scratch directory cleared away, should this process end before Forget. The error says that the watchdog is gone.
func (w *Watchdog) Watch(s *Scratch) error { return w.order(orderWatch, s) }

// Forget takes a directory back.
func (w *Watchdog) Forget(s *Scratch) error { return w.order(orderForget, s) }

func (w *Watchdog) order(what string, s *Scratch) error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := io.WriteString(w.to, what+s.Dir+"\n"); err != nil {
		return fmt.Errorf("the watchdog is gone: %w", err)
	}
	return nil
}

// Close ends the watchdog and waits for it. What it was told to watch and not to forget it clears away now, if its owner is gone.
func (w *Watchdog) Close() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.to.Close(), <-w.ended)
}

// watchPatience is how long a watchdog waits for the lock of a directory whose owner has just ended: the kernel closes one file
// after the other.
const watchPatience = 2 * time.Second

// Watch is what the process of a watchdog does: it reads orders until they end with the process that gave them, and then clears
// away. It ignores the signals that end programs, since a person or a system that ends everything at once means the programs that it
// watches, and not the one that clears away after them.
func Watch(orders io.Reader) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	watched := map[string]bool{}
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		if dir, ok := strings.CutPrefix(lines.Text(), orderWatch); ok {
			watched[dir] = true
		} else if dir, ok := strings.CutPrefix(lines.Text(), orderForget); ok {
			delete(watched, dir)
		}
	}
	err := lines.Err()
	for _, dir := range slices.Sorted(maps.Keys(watched)) {
		err = errors.Join(err, clearAway(dir))
	}
	return err
}

// clearAway sweeps a directory once its owner is gone.
func clearAway(dir string) error {
	for end := time.Now().Add(watchPatience); ; {
		err := sweep(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed, or moved to where it stays
			return nil
		case errors.Is(err, errAlive) && time.Now().Before(end):
			time.Sleep(10 * time.Millisecond)
		case errors.Is(err, errAlive): // the program goes on without its watchdog
			return nil
		default:
			return err
		}
	}
}
