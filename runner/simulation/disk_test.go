package simulation

import (
	"errors"
	"maps"
	"time"

	"github.com/solopod/solopod/runner/pod/state"
)

// disk has the pods' records. What was written outlives the daemon, what was synced also a power cut.
type disk struct {
	box             *box
	written, synced map[string][]byte
	// unremoved: the record could not be removed.
	unremoved map[string]bool
}

func newDisk(b *box) disk {
	return disk{box: b, written: map[string][]byte{}, synced: map[string][]byte{}, unremoved: map[string]bool{}}
}

var (
	errDisk = errors.New("no space left on device")
	errDead = errors.New("the daemon is dead")
)

// records are the disk as one daemon sees it.
type records struct{ d *daemon }

// busy takes the time that the disk takes.
func (r records) busy(uid, what string) error {
	b := r.d.box
	draw := b.draw("disk", uid, what)
	wait := time.After(time.Duration(draw.Int64N(int64(3 * time.Millisecond))))
	var gate <-chan struct{}
	fails := false
	if !b.isCalm() && !b.spared(uid) {
		if draw.Float64() < b.temper.diskHangs {
			b.note("%s disk hangs: %s", uid, what)
			wait, gate = nil, b.gate()
		}
		fails = draw.Float64() < b.temper.diskFails
	}
	select {
	case <-wait:
	case <-gate:
	case <-r.d.dead:
		return errDead
	}
	if fails {
		b.note("%s disk fails: %s", uid, what)
		return errDisk
	}
	return nil
}

// Write implements pod.Records.
func (r records) Write(uid string, data []byte) error {
	b := r.d.box
	if err := r.busy(uid, "write"); err != nil {
		return err
	}
	if b.draw("check", uid).IntN(16) == 0 {
		b.checkRecord(uid, data)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.d.alive {
		return errDead
	}
	b.disk.written[uid] = data
	return nil
}

// Sync implements pod.Records.
func (r records) Sync(uid string) error {
	if err := r.busy(uid, "sync"); err != nil {
		return err
	}
	b := r.d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.d.alive {
		return errDead
	}
	if data, ok := b.disk.written[uid]; ok {
		b.disk.synced[uid] = data
	}
	return nil
}

// Remove implements pod.Records.
func (r records) Remove(uid string) error {
	err := r.busy(uid, "remove")
	b := r.d.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.d.alive {
		b.disk.unremoved[uid] = err != nil
	}
	if err != nil {
		return err
	}
	if !r.d.alive {
		return errDead
	}
	delete(b.disk.written, uid)
	delete(b.disk.synced, uid)
	return nil
}

// cut is what a power cut does to the disk: of what was not synced nobody knows. b.mu is held.
func (k *disk) cut(lucky func() bool) {
	for uid, data := range maps.Clone(k.written) {
		if old, ok := k.synced[uid]; lucky() {
			k.synced[uid] = data
		} else if ok {
			k.written[uid] = old
		} else {
			delete(k.written, uid)
		}
	}
}

// checkRecord: what is written is what will be restored.
func (b *box) checkRecord(uid string, data []byte) {
	b.mu.Lock()
	host, alive := b.host(), b.daemon != nil && b.daemon.alive
	b.mu.Unlock()
	if !alive { // it is lost, and the next daemon may run in another boot
		return
	}
	s, err := state.Decode(data, uid, host, true)
	if err != nil {
		b.violated("the record of %s cannot be read: %v", uid, err)
		return
	}
	if s.BootID != host.BootID { // what runs then is ready again once it is found
		return
	}
	again, err := s.Encode()
	if err != nil || string(again) != string(data) {
		b.violated("the record of %s is not what is restored:\n%s\n%s", uid, data, again)
	}
}
