package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

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
