package testbox

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/solopod/solopod/runner/foreign"
)

// Running finds the processes of a program, as it is installed, with an argument.
func Running(t *testing.T, program, argument string) (out []int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if b, err := foreign.ReadKernel(path); err == nil && string(b) == fmt.Sprintf("%s\x00%s\x00", program, argument) {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
	}
	return out
}
