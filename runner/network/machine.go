package network

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"time"

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

// machineLock is a file that only root can open: whoever can lock it could hold all daemons of the machine.
const machineLock = "/run/solopod.lock"

// lockLimit is how long other daemons may take to choose a subnet; it takes milliseconds.
const lockLimit = 10 * time.Second

// lockMachine keeps daemons that choose a subnet at the same time from choosing the same one.
func lockMachine(ctx context.Context) (unlock func(), err error) {
	fd, err := unix.Open(machineLock, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", machineLock, err)
	}
	release := func() { unix.Close(fd) } //nolint:errcheck // closing unlocks
	// The kernel does not tell of a lock that is free: it is waited for aside, in the end for nobody.
	locked := make(chan error, 1)
	go func() { locked <- lock(fd) }()
	timer := time.NewTimer(lockLimit)
	defer timer.Stop()
	select {
	case err := <-locked:
		if err != nil {
			release()
			return nil, fmt.Errorf("cannot lock %s: %w", machineLock, err)
		}
		return release, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("another daemon holds %s for more than %s", machineLock, lockLimit)
	}
	go func() {
		<-locked //nolint:errcheck // nobody waits for it any more
		release()
	}()
	return nil, err
}

func lock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// handleAt opens a netlink handle inside the namespace.
func handleAt(ns *os.File) (*netlink.Handle, error) {
	return netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
}
