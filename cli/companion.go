package cli

import (
	"fmt"
	"os"
	"path/filepath"
)

// companion returns the path of a program that is installed beside the running binary. PATH is not searched: its version
// must be the binary's own.
func companion(name string) (string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find the running binary: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot find %s: install it beside solopod (make build builds both)", path)
	}
	return path, nil
}
