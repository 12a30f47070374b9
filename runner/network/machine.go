package network

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// DefaultStateDir is the state directory whose daemon gets the plain bridge name.
const DefaultStateDir = "/run/solopod"

// Instance names what several daemons of one machine must not share: cgroups, a bridge, shims. The daemon of the default
// state directory has the plain name.
func Instance(stateDir string) string {
	if filepath.Clean(stateDir) == DefaultStateDir {
		return "solopod"
	}
	return fmt.Sprintf("solopod-%06x", hash32(filepath.Clean(stateDir))&0xffffff)
}

// BridgeName is the name of an instance's bridge.
func BridgeName(instance string) string {
	if instance == "solopod" {
		return "solopod0"
	}
	return instance
}

func hash32(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// lockMachine keeps daemons that choose a subnet at the same time from choosing the same one.
func lockMachine() (unlock func(), err error) {
	f, err := os.Open("/run")
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close() //nolint:errcheck // only locked
		return nil, fmt.Errorf("cannot lock /run: %w", err)
	}
	return func() { f.Close() }, nil //nolint:errcheck // closing unlocks
}

// handleAt opens a netlink handle inside the namespace.
func handleAt(ns *os.File) (*netlink.Handle, error) {
	return netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
}
