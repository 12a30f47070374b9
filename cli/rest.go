package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// restAfter is how long after a change of the pods the memory that the work took is given back: a start's work is over,
// and a container that crashes again and again costs one release in that time.
const restAfter = 20 * time.Second

// rest gives memory back after changes, and sweeps, until ctx ends. Without changes it does nothing.
func rest(ctx context.Context, changes <-chan struct{}, sweep func()) error {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changes:
			if due == nil {
				due = time.After(restAfter)
			}
		case <-due:
			due = nil
			sweep()
			debug.FreeOSMemory()
			if err := unmapProgram(); err != nil {
				slog.Debug("cannot give the program's own pages back", "err", err)
			}
		}
	}
}

// unmapProgram lets go of the pages of the program file and of containerd's databases that are mapped. What is needed
// comes back by itself, a minor fault for each 64 KiB: about a third. The rest served start-up and what seldom happens,
// and the kernel may now drop it without asking.
func unmapProgram() error {
	f, err := foreign.OpenKernel("/proc/self/smaps", os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	regions, err := fileRegions(f)
	if err != nil {
		return err
	}
	for _, r := range regions {
		// By number: the pages are no Go memory, and no pointer is to be made of their address.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("cannot unmap pages: %w", errno)
		}
	}
	return nil
}

// region is a range of addresses.
type region struct{ start, end uintptr }

// fileRegions finds the mappings of files in smaps (proc_pid_smaps(5)) whose pages can all be read again: that cannot be
// written to, and were not before they were made read-only, as the relocated pages of a library are.
func fileRegions(smaps io.Reader) ([]region, error) {
	var regions []region
	var current *region
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"): // a mapping begins
			current = nil
			if len(fields) < 6 || strings.Contains(fields[1], "w") || !strings.HasPrefix(fields[5], "/") {
				continue
			}
			current = &region{}
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &current.start, &current.end); err != nil {
				return nil, fmt.Errorf("cannot read the range %q: %w", fields[0], err)
			}
		case current != nil && len(fields) > 1 && fields[0] == "Anonymous:" && fields[1] == "0":
			regions = append(regions, *current)
		}
	}
	return regions, lines.Err()
}
