package monitor

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Interface holds the counters of one network interface, in the order of /proc/net/dev: bytes, packets, errors and
// drops, received and sent.
type Interface struct {
	Name              string
	Receive, Transmit [4]float64
}

// Most interfaces that are told: of a pod, which may be able to make as many as it likes, and of the machine.
const (
	podInterfaces     = 64
	machineInterfaces = 1024
)

// readInterfaces reads the counters of the network namespace of a process into list, of most interfaces; loopback is left out.
func readInterfaces(pid uint32, list []Interface, most int) []Interface {
	fd, err := unix.Open("/proc/"+strconv.Itoa(int(pid))+"/net/dev", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return list[:0]
	}
	defer unix.Close(fd) //nolint:errcheck // only read from
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b, err := readAll(fd, buf)
	if errors.Is(err, errTooLong) {
		b, err = (*buf)[:longest], nil
	}
	if err != nil {
		return list[:0]
	}
	return parseInterfaces(b, list, most)
}

// parseInterfaces reads proc_pid_net(5)'s dev table into list, whose names it uses again where they have not changed. Of more than most
// interfaces it has the first; the kernel has the oldest first, in versions before 6.6 only nearly (net/core/net-procfs.c).
func parseInterfaces(b []byte, list []Interface, most int) []Interface {
	out := list[:0]
	for len(b) > 0 && len(out) < most {
		var line []byte
		line, b = cutLine(b)
		name, rest, ok := bytes.Cut(line, []byte(":"))
		name = bytes.TrimSpace(name)
		if !ok || string(name) == "lo" {
			continue
		}
		var fields [12]float64
		for n := range fields {
			if fields[n], rest, ok = parseUint(bytes.TrimLeft(rest, " ")); !ok {
				break
			}
		}
		if !ok {
			continue
		}
		i := Interface{}
		if n := len(out); n < len(list) && list[:n+1][n].Name == string(name) {
			i.Name = list[n].Name
		} else {
			i.Name = string(name)
		}
		copy(i.Receive[:], fields[:4])
		copy(i.Transmit[:], fields[8:12])
		out = append(out, i)
	}
	return out
}
