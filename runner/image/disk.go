package image

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
)

// disk makes files durable. A sync of the file system takes seconds on slow flash, and for ever on a disk that is frozen: no more than
// one goes on, and one more is shared by all who have come meanwhile.
type disk struct {
	write func() error

	mu   sync.Mutex
	now  *round // goes on
	next *round // begins when now ends
}

// round is one sync, for everyone who waits for it.
type round struct {
	done chan struct{}
	err  error
}

// newDisk is the disk that holds root; elsewhere: it is not known which disks are to be synced, as an outside containerd does not say
// where it unpacks.
func newDisk(root string, elsewhere bool) *disk {
	return &disk{write: func() error {
		if elsewhere {
			unix.Sync()
			return nil
		}
		return durable.SyncFileSystem(root)
	}}
}

// sync returns when all that was written before the call is on the disk, or when ctx ends: then the sync is left behind.
func (d *disk) sync(ctx context.Context) error {
	r := d.join()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("the disk did not take what was written: %w", context.Cause(ctx))
	}
}

// join takes part in the next sync that begins.
func (d *disk) join() *round {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next == nil {
		d.next = &round{done: make(chan struct{})}
	}
	r := d.next
	if d.now == nil {
		d.begin()
	}
	return r
}

// begin is called with mu held, when nothing goes on.
func (d *disk) begin() {
	d.now, d.next = d.next, nil
	if r := d.now; r != nil {
		go func() {
			r.err = d.write()
			close(r.done)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.begin()
		}()
	}
}
