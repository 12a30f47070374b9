package listener

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/process"
)

// mostDescriptors bounds how many descriptors of all processes are looked at.
const mostDescriptors = 1 << 20

var errTooMany = errors.New("too many files are open on this machine")

// holder finds the process that has a socket, the oldest of several: "name (pid 12)". It is empty when there is none, or none that can be
// seen.
func holder(ctx context.Context, inode uint32) (string, error) {
	wanted := fmt.Sprintf("socket:[%d]", inode)
	seen := 0
	pids := process.All()
	slices.Sort(pids)
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		dir := "/proc/" + strconv.Itoa(pid)
		descriptors, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // it has ended
		}
		if seen += len(descriptors); seen > mostDescriptors {
			return "", errTooMany
		}
		for _, d := range descriptors {
			if target, err := os.Readlink(dir + "/fd/" + d.Name()); err == nil && target == wanted {
				return fmt.Sprintf("%s (pid %d)", command(dir), pid), nil
			}
		}
	}
	return "", nil
}

// command is the name of a process. Unlike its command line it can be read without its memory, on which a read may wait.
func command(dir string) string {
	name, err := foreign.ReadKernel(dir + "/comm")
	if err != nil {
		return "a process"
	}
	return string(bytes.TrimSpace(name))
}

// sctpEndpoints are the sockets of SCTP. They are read from /proc: a question by netlink would load the protocol into the kernel. Where
// it is not loaded nobody listens.
func sctpEndpoints() ([]socket, error) {
	text, err := foreign.ReadKernel("/proc/net/sctp/eps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseEndpoints(bytes.NewReader(text)), nil
}

// The states of an endpoint, SST in the kernel's list: as with TCP, and a socket that is bound only is closed.
const sctpListens = "10"

// parseEndpoints reads the kernel's list of SCTP endpoints (net/sctp/proc.c): a line each, with a header.
func parseEndpoints(r io.Reader) (out []socket) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS...
		fields := strings.Fields(lines.Text())
		if len(fields) < 9 || fields[3] != sctpListens {
			continue
		}
		port, err := strconv.ParseUint(fields[5], 10, 16)
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(fields[7], 10, 32)
		if err != nil {
			continue
		}
		for _, text := range fields[8:] {
			if addr, err := netip.ParseAddr(strings.TrimPrefix(text, "*")); err == nil {
				out = append(out, socket{addr: addr.Unmap(), port: uint16(port), inode: uint32(inode)})
			}
		}
	}
	return out
}
