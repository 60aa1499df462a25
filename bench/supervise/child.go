package supervise

import (
	"os/exec"
	"runtime"
)

// Start starts a command in a process group of its own, or in the session that its SysProcAttr asks
// for, so that a Ctrl-C at the terminal reaches this program alone. On Linux the
// kernel kills it as soon as this program has ended, however that came about. The channel gets what cmd.Wait returned, once.
func Start(cmd *exec.Cmd) (<-chan error, error) {
	tie(cmd)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that made the child for the end of the parent: the thread must last as long as
		// the child does, and so nothing else may run on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return ended, nil
}
