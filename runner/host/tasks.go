package host

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/solopod/solopod/runner/foreign"
)

// Tasks are how many processes there are, threads counted, and how many there may be (as the kubelet: pkg/kubelet/stats/pidlimit).
func Tasks() (now, most uint64, err error) {
	load, err := foreign.ReadKernel("/proc/loadavg")
	if err != nil {
		return 0, 0, err
	}
	if now, err = tasks(load); err != nil {
		return 0, 0, err
	}
	for _, file := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		n, err := foreign.ReadNumber(file)
		if err != nil {
			return 0, 0, err
		}
		if bound := uint64(max(n, 0)); most == 0 || bound < most {
			most = bound
		}
	}
	return now, most, nil
}

// tasks is how many there are, by /proc/loadavg: "0.20 0.18 0.12 1/80 11206" (proc_loadavg(5)).
func tasks(load []byte) (uint64, error) {
	fields := bytes.Fields(load)
	if len(fields) < 4 {
		return 0, fmt.Errorf("/proc/loadavg is %q", load)
	}
	_, all, ok := bytes.Cut(fields[3], []byte("/"))
	n, err := strconv.ParseUint(string(all), 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("/proc/loadavg is %q", load)
	}
	return n, nil
}
