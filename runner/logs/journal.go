package logs

import (
	"bytes"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	journalSize = 64 << 10
	headerSize  = 64
	bufferSize  = journalSize - headerSize
	markerSize  = 16
	// maxLine is where a line without an end is split, as containerd's CRI does (16 KiB).
	maxLine = 16 << 10
)

const (
	phaseIdle uint64 = iota
	phaseReading
	phaseWriting
)

// journal is the mapping. Its header holds, as 64-bit words: the state (phase, start and end of what is not in the log
// yet), the number of bytes announced for a read, the log's size before a write, and the time of the read.
type journal struct {
	mem    []byte
	state  *uint64
	expect *uint64
	size   *uint64
	nanos  *uint64
	buf    []byte
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the mapping stays
	if err := f.Truncate(journalSize); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, journalSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	word := func(i int) *uint64 { return (*uint64)(unsafe.Pointer(&mem[8*i])) }
	return &journal{mem, word(0), word(1), word(2), word(3), mem[headerSize:]}, nil
}

func (j *journal) close() error { return unix.Munmap(j.mem) }

func (j *journal) load() (phase uint64, start, end int) {
	w := atomic.LoadUint64(j.state)
	return w >> 48, int(w >> 24 & 0xffffff), int(w & 0xffffff)
}

func (j *journal) store(phase uint64, start, end int) {
	atomic.StoreUint64(j.state, phase<<48|uint64(start)<<24|uint64(end))
}

func (j *journal) when() time.Time { return time.Unix(0, int64(atomic.LoadUint64(j.nanos))) }

// marker fills the place of the next bytes; 0xff never occurs in UTF-8.
var marker = bytes.Repeat([]byte{0xff}, markerSize)

// announce notes that n bytes will be read behind end.
func (j *journal) announce(start, end, n int, now time.Time) {
	copy(j.buf[end:end+n], marker)
	atomic.StoreUint64(j.nanos, uint64(now.UnixNano()))
	atomic.StoreUint64(j.expect, uint64(n))
	j.store(phaseReading, start, end)
}

// recovered returns the end of the data after a crash while reading.
func (j *journal) recovered(end int) int {
	n := int(atomic.LoadUint64(j.expect))
	if n <= 0 || end+n > bufferSize {
		return end
	}
	if bytes.Equal(j.buf[end:end+min(n, markerSize)], marker[:min(n, markerSize)]) {
		return end
	}
	return end + n
}

// room makes place behind end for more bytes and returns the new bounds; full is true when what is pending leaves too
// little of it.
func (j *journal) room(start, end int) (newStart, newEnd int, full bool) {
	if start == end {
		j.store(phaseIdle, 0, 0)
		return 0, 0, false
	}
	if bufferSize-end >= maxLine {
		return start, end, false
	}
	if pending := end - start; pending <= start && pending < maxLine {
		// The ranges do not overlap, so the old copy is whole until the state word moves.
		copy(j.buf, j.buf[start:end])
		j.store(phaseIdle, 0, pending)
		return 0, pending, false
	}
	return start, end, true
}
