package cli

import (
	"fmt"
	"os"
	"path/filepath"
)

// companions are the programs that belong beside the binary.
var companions = []string{"containerd-shim-runc-v2", "solopod-keep", "solopod-unseal", "solopod-names"}

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
	dir := filepath.Dir(self)
	// A package's place first: beside an installed solopod may lie a shim of another containerd, which does not fit ours.
	for _, path := range []string{filepath.Join(dir, "../libexec/solopod", name), filepath.Join(dir, name)} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find %s: install it beside %s, or in ../libexec/solopod (make build builds them together)", name, self)
}
