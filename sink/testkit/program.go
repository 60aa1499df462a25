package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"sync"
)

const module = "github.com/smtpstorm/xk6-smtp"

// programs remembers the outcome of Program for this process.
var programs sync.Map // folder: func() (string, error)

// Program returns the path of an executable of the package main in a folder of the module, such as "xk6smtp/cmd/k6". It is built by
// go run, which keeps what it links in the go command's cache, so that all test binaries share one. Its name is the folder's; it lies in a
// directory of its own, and nobody but the go command may change or remove it. It holds no symbol table and no revision.
func Program(folder string) (string, error) {
	build, _ := programs.LoadOrStore(folder, sync.OnceValues(func() (string, error) { return program(folder) }))
	return build.(func() (string, error))()
}

func program(folder string) (string, error) {
	echo := "echo"
	if runtime.GOOS == "windows" {
		echo = "cmd /c echo"
	}
	// The first go run names the file that it has just linked, which is gone when it ends; the second one that in the cache.
	for range 2 {
		cmd := exec.Command("go", "run", "-exec", echo, path.Join(module, folder)) // #nosec G204 -- a folder that a test names; no shell
		out, err := cmd.Output()
		if err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				return "", fmt.Errorf("go run %s: %w: %s", folder, err, failed.Stderr)
			}
			return "", fmt.Errorf("go run %s: %w", folder, err)
		}
		file := strings.TrimSpace(string(out))
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", errors.New("go run names no file that stays in the go command's cache")
}
