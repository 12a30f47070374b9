package embedded

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/process"
)

// shimName is the name of the shim's program.
const shimName = "containerd-shim-runc-v2"

// endStrays kills the shims of this server that no bundle names, with all that runs below them: the state directory was emptied, or
// the daemon was killed between the start of a shim and the note of it. Nothing else would ever find them, and their pods are
// about to be made anew. A shim is told by the server's address on its command line.
func endStrays(address string, bundles []bundle) {
	named := map[string]bool{}
	for _, b := range bundles {
		named[b.socket()] = true
	}
	var strays []int
	for _, pid := range process.All() {
		if !isShimOf(pid, address) {
			continue
		}
		sockets := listens(pid)
		if len(sockets) > 0 && !slices.ContainsFunc(sockets, func(path string) bool { return named[path] }) {
			strays = append(strays, pid)
		}
	}
	if len(strays) == 0 {
		return // as nearly always: what runs below them need not be known
	}
	children := map[int][]int{}
	for _, pid := range process.All() {
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	for _, pid := range strays {
		below := descendants(children, pid)
		slog.Warn("a shim runs that nothing knows of any more; it is ended with what it runs", "pid", pid, "processes", len(below))
		for _, p := range append(below, pid) {
			unix.Kill(p, unix.SIGKILL) //nolint:errcheck // it may have ended
		}
	}
}

func proc(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// parentOf reads the fourth field of stat; the second, in parentheses, may contain anything (proc(5)).
func parentOf(pid int) (int, bool) {
	stat, err := foreign.ReadKernel(proc(pid, "stat"))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// isShimOf: a container cannot pass for one, as the program is looked at too, by its link in /proc.
func isShimOf(pid int, address string) bool {
	program, err := os.Readlink(proc(pid, "exe"))
	if err != nil || !strings.HasPrefix(filepath.Base(program), shimName) { // an upgrade leaves "(deleted)" at the end
		return false
	}
	line, err := foreign.ReadKernel(proc(pid, "cmdline"))
	if err != nil {
		return false
	}
	args := strings.Split(string(line), "\x00")
	at := slices.Index(args, "-address")
	return at >= 0 && at+1 < len(args) && args[at+1] == address
}

// listens returns the paths of the unix sockets that a process holds.
func listens(pid int) (paths []string) {
	table, err := foreign.ReadKernel(proc(pid, "net/unix"))
	if err != nil {
		return nil
	}
	byInode := map[string]string{}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) == 8 {
			byInode["socket:["+f[6]+"]"] = f[7]
		}
	}
	entries, err := os.ReadDir(proc(pid, "fd"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		link, err := os.Readlink(filepath.Join(proc(pid, "fd"), e.Name()))
		if path := byInode[link]; err == nil && path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

func descendants(children map[int][]int, pid int) (below []int) {
	for _, child := range children[pid] {
		below = append(below, child)
		below = append(below, descendants(children, child)...)
	}
	return below
}
