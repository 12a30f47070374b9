package sample

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/solopod/solopod/oom/record"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
)

const (
	// ofEach is how many of a container's processes are read the command line of, the largest; kept how many are remembered.
	ofEach, kept = 5, 10
	// mostBytes is how much of a command line is kept.
	mostBytes = 256
	// mostProcesses is how many processes of a container are looked at.
	mostProcesses = 256
)

// command is a process' command line. It is of the process' own making.
type command struct {
	pid        int
	name, line string
}

// commandOf is the command line of the process that was killed: as it was seen, or else, of the main process, as the manifest has it.
func (c *container) commandOf(r *record.Record) string {
	for _, known := range c.commands {
		if known.pid == r.PID && known.name == r.Process {
			return known.line
		}
	}
	if r.Main != nil && *r.Main {
		return cut(strings.Join(c.subject.Command, " "))
	}
	return ""
}

// merged are the newly found ones, and of those that were known before as many as there is room for.
func merged(found, known []command) []command {
	out := slices.Clone(found)
	for _, k := range known {
		if len(out) < kept && !slices.ContainsFunc(out, func(f command) bool { return f.pid == k.pid }) {
			out = append(out, k)
		}
	}
	return out
}

// largest are the largest processes of a cgroup, with their command lines.
func largest(cgroupPath string) []command {
	dir := filepath.Join(cgroup.Mountpoint, cgroupPath)
	if !cgroup.Unified() {
		dir = filepath.Join(cgroup.Mountpoint, "memory", cgroupPath)
	}
	var pids []int
	for _, below := range []string{"", "container"} { // crun's own one in the container's
		text, err := foreign.ReadKernel(filepath.Join(dir, below, "cgroup.procs"))
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 && len(pids) < mostProcesses {
				pids = append(pids, pid)
			}
		}
	}
	return commandsOf(pids)
}

// commandsOf reads those of the largest of some processes.
func commandsOf(pids []int) (out []command) {
	type sized struct {
		pid   int
		pages int64
	}
	var all []sized
	for _, pid := range pids {
		if pages := residentPages(pid); pages > 0 {
			all = append(all, sized{pid, pages})
		}
	}
	slices.SortFunc(all, func(a, b sized) int { return cmp.Compare(b.pages, a.pages) })
	for _, p := range all[:min(len(all), ofEach)] {
		name, err := foreign.ReadKernel(inProc(p.pid, "comm"))
		if err != nil {
			continue
		}
		if line := commandLine(p.pid); line != "" {
			out = append(out, command{p.pid, strings.TrimSuffix(string(name), "\n"), line})
		}
	}
	return out
}

func inProc(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + "/" + file }

// residentPages is the second number of /proc/PID/statm (proc_pid_statm(5)); zero when the process is gone.
func residentPages(pid int) int64 {
	text, err := foreign.ReadKernel(inProc(pid, "statm"))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return n
}

// commandLine is a process' command line, with blanks between its arguments. It is as long as the process likes, so that no more of it is
// read than is kept.
func commandLine(pid int) string {
	f, err := foreign.OpenKernel(inProc(pid, "cmdline"), os.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(io.LimitReader(f, mostBytes))
	if err != nil {
		return ""
	}
	return cut(strings.ReplaceAll(strings.TrimRight(string(text), "\x00"), "\x00", " "))
}

// cut bounds a text.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), mostBytes)], "")
}
