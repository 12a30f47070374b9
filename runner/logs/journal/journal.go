// Package journal keeps what was read of a container's output and is not in its log yet, so that a kill between the two loses
// nothing and doubles nothing: a small shared mapping of a file in the state directory, which outlives the process.
//
// Its life for each batch (the phase is one 64-bit word, stored in one instruction):
//
//	idle ──▶ reading(n) ──read(2)──▶ idle ──▶ writing(log size) ──write(2)──▶ idle
//
// Killed while reading: n bytes were announced (FIONREAD) and their first bytes were filled with a marker that no text
// holds; where the marker is gone, the read happened. Killed while writing: what the log has behind the size noted before
// is cut off if it is the beginning of the batch, and the batch is written again.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

const (
	fileSize   = 64 << 10
	headerSize = 64
	bufferSize = fileSize - headerSize
	markerSize = 16
)

const (
	phaseIdle uint64 = iota
	phaseReading
	phaseWriting
)

// journalVersion is the layout. Files without a version, which is 0 there, have the same one.
const journalVersion = 1

// Journal is a buffer whose header holds, as 64-bit words: the state (phase, start and end of what is not in the log
// yet), the number of bytes announced for a read, the log's size before a write, the time of the read, and the version. It
// is a mapping of a file, or memory alone where no file can be had. One goroutine at a time uses it.
type Journal struct {
	mem    []byte
	mapped bool
	path   string

	state  *uint64
	expect *uint64
	size   *uint64
	nanos  *uint64
	buf    []byte
}

// Open maps the journal at path, with what the last run left in it. What cannot be a journal is set aside, and told.
// Where no file can be mapped, as on a full disk, the journal is in memory, and trouble says why.
func Open(path string) (j *Journal, trouble error) {
	content, err := readJournal(path)
	if err != nil {
		slog.Warn("the journal of a container's output is damaged and set aside; some output may be lost", "file", path+durable.AsideSuffix, "err", err)
		if trouble = os.Rename(path, path+durable.AsideSuffix); trouble != nil {
			trouble = errors.Join(trouble, foreign.RemoveAll(path))
		}
	}
	mem, err := mapJournal(path, content)
	if err == nil {
		return newJournal(mem, path, true), nil
	}
	mem = make([]byte, fileSize)
	copy(mem, content)
	// What was in the file is in memory now; a later run must not find it again.
	if rerr := os.Remove(path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return newJournal(mem, path, false), errors.Join(trouble, err)
}

func newJournal(mem []byte, path string, mapped bool) *Journal {
	word := func(i int) *uint64 { return (*uint64)(unsafe.Pointer(&mem[8*i])) }
	return &Journal{mem, mapped, path, word(0), word(1), word(2), word(3), mem[headerSize:]}
}

// readJournal returns what a file holds, nil when there is none, or says why it is no journal.
func readJournal(path string) ([]byte, error) {
	f, err := durable.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	b := make([]byte, fileSize+1)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return checkJournal(b[:n])
}

// checkJournal says whether the content of a file is a journal. Of one that was cut off the part is returned that is there.
func checkJournal(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil // made, and not yet allocated
	}
	if len(b) < headerSize || len(b) > fileSize {
		return nil, fmt.Errorf("it has %d bytes", len(b))
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
	phase, start, end := unpack(word(0))
	if word(4) > journalVersion || word(5)|word(6)|word(7) != 0 {
		return nil, errors.New("it is of another version")
	}
	// A byte is kept behind the end; see Read.
	if phase > phaseWriting || start > end || end >= bufferSize {
		return nil, fmt.Errorf("it is in phase %d with bytes %d to %d", phase, start, end)
	}
	if expect := word(1); phase == phaseReading && (expect == 0 || expect >= uint64(bufferSize-end)) {
		return nil, fmt.Errorf("it expects %d bytes behind %d", expect, end)
	}
	if len(b) == fileSize {
		return b, nil
	}
	full := make([]byte, fileSize)
	copy(full, b)
	if there := len(b) - headerSize; end > there || phase == phaseReading {
		binary.NativeEndian.PutUint64(full, pack(phaseIdle, min(start, there), min(end, there)))
	}
	return full, nil
}

// mapJournal maps a file that has its blocks: writing to a mapping of a sparse file on a full disk would be a SIGBUS.
func mapJournal(path string, content []byte) (mem []byte, err error) {
	f, err := durable.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the mapping stays
	fd := int(f.Fd())
	if err := allocate(fd, content); err != nil {
		return nil, fmt.Errorf("cannot allocate %s: %w", path, err)
	}
	if mem, err = unix.Mmap(fd, 0, fileSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	j := newJournal(mem, path, true)
	err = j.Guard(func() error {
		if content != nil {
			copy(mem[:headerSize], content) // as it was corrected
		}
		binary.NativeEndian.PutUint64(mem[8*4:], journalVersion)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	return mem, nil
}

// allocate gives a journal's file its size and its blocks.
func allocate(fd int, content []byte) error {
	if err := unix.Ftruncate(fd, fileSize); err != nil {
		return err
	}
	for {
		err := unix.Fallocate(fd, 0, 0, fileSize)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			full := make([]byte, fileSize)
			copy(full, content)
			_, err = unix.Pwrite(fd, full, 0)
			return err
		default:
			return err
		}
	}
}

// Close lets go of the mapping. Nobody may use the journal afterwards.
func (j *Journal) Close() error {
	if !j.mapped {
		return nil
	}
	j.mapped = false
	return unix.Munmap(j.mem)
}

// ErrFault says that the file behind a journal has gone, as when somebody has shortened it, or its disk cannot be read.
var ErrFault = errors.New("the journal of a container's output cannot be reached")

// Guard runs what uses the journal, and makes an error of a fault of its mapping.
func (j *Journal) Guard(use func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr })
		if !ok || !j.holds(fault.Addr()) {
			panic(r)
		}
		err = ErrFault
	}()
	return use()
}

func (j *Journal) holds(address uintptr) bool {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(j.mem)))
	return j.mapped && address >= begin && address < begin+fileSize
}

func pack(phase uint64, start, end int) uint64 { return phase<<48 | uint64(start)<<24 | uint64(end) }

func unpack(w uint64) (phase uint64, start, end int) {
	return w >> 48, int(w >> 24 & 0xffffff), int(w & 0xffffff)
}

func (j *Journal) load() (phase uint64, start, end int) { return unpack(atomic.LoadUint64(j.state)) }

func (j *Journal) store(phase uint64, start, end int) {
	atomic.StoreUint64(j.state, pack(phase, start, end))
}

// Time is when what is pending was read last.
func (j *Journal) Time() time.Time { return time.Unix(0, int64(atomic.LoadUint64(j.nanos))) }
