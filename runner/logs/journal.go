package logs

import (
	"bytes"
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

// journalVersion is the layout. Files without a version, which is 0 there, have the same one.
const journalVersion = 1

// journal is a buffer whose header holds, as 64-bit words: the state (phase, start and end of what is not in the log
// yet), the number of bytes announced for a read, the log's size before a write, the time of the read, and the version. It
// is a mapping of a file, or memory alone where no file can be had.
type journal struct {
	mem    []byte
	mapped bool
	path   string

	state  *uint64
	expect *uint64
	size   *uint64
	nanos  *uint64
	buf    []byte
}

// openJournal maps the journal at path, with what the last run left in it. What cannot be a journal is set aside, and told.
// Where no file can be mapped, as on a full disk, the journal is in memory, and trouble says why.
func openJournal(path string) (j *journal, trouble error) {
	content, err := readJournal(path)
	if err != nil {
		slog.Warn("the journal of a container's output is damaged and set aside; some output may be lost", "file", path+damagedSuffix, "err", err)
		if trouble = os.Rename(path, path+damagedSuffix); trouble != nil {
			trouble = errors.Join(trouble, os.RemoveAll(path))
		}
	}
	mem, err := mapJournal(path, content)
	if err == nil {
		return newJournal(mem, path, true), nil
	}
	mem = make([]byte, journalSize)
	copy(mem, content)
	// What was in the file is in memory now; a later run must not find it again.
	if rerr := os.Remove(path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return newJournal(mem, path, false), errors.Join(trouble, err)
}

// damagedSuffix marks what was set aside. A later one replaces it.
const damagedSuffix = ".damaged"

func newJournal(mem []byte, path string, mapped bool) *journal {
	word := func(i int) *uint64 { return (*uint64)(unsafe.Pointer(&mem[8*i])) }
	return &journal{mem, mapped, path, word(0), word(1), word(2), word(3), mem[headerSize:]}
}

// readJournal returns what a file holds, nil when there is none, or says why it is no journal.
func readJournal(path string) ([]byte, error) {
	f, err := openOwn(path, unix.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	b := make([]byte, journalSize+1)
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
	if len(b) < headerSize || len(b) > journalSize {
		return nil, fmt.Errorf("it has %d bytes", len(b))
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
	phase, start, end := unpack(word(0))
	if word(4) > journalVersion || word(5)|word(6)|word(7) != 0 {
		return nil, errors.New("it is of another version")
	}
	// A byte is kept for a newline at the end of the last line.
	if phase > phaseWriting || start > end || end >= bufferSize {
		return nil, fmt.Errorf("it is in phase %d with bytes %d to %d", phase, start, end)
	}
	if expect := word(1); phase == phaseReading && (expect == 0 || expect >= uint64(bufferSize-end)) {
		return nil, fmt.Errorf("it expects %d bytes behind %d", expect, end)
	}
	if len(b) == journalSize {
		return b, nil
	}
	full := make([]byte, journalSize)
	copy(full, b)
	if there := len(b) - headerSize; end > there || phase == phaseReading {
		binary.NativeEndian.PutUint64(full, pack(phaseIdle, min(start, there), min(end, there)))
	}
	return full, nil
}

// openOwn opens a file of the state directory, if it is a regular file.
func openOwn(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // only referred to
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return reopen(fd, path, flags)
}

// mapJournal maps a file that has its blocks: writing to a mapping of a sparse file on a full disk would be a SIGBUS.
func mapJournal(path string, content []byte) (mem []byte, err error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // the mapping stays
	if err := allocate(fd, content); err != nil {
		return nil, fmt.Errorf("cannot allocate %s: %w", path, err)
	}
	if mem, err = unix.Mmap(fd, 0, journalSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	j := newJournal(mem, path, true)
	err = j.guarded(func() error {
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
	if err := unix.Ftruncate(fd, journalSize); err != nil {
		return err
	}
	for {
		err := unix.Fallocate(fd, 0, 0, journalSize)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			full := make([]byte, journalSize)
			copy(full, content)
			_, err = unix.Pwrite(fd, full, 0)
			return err
		default:
			return err
		}
	}
}

// close lets go of the mapping. Nobody may use the journal afterwards.
func (j *journal) close() error {
	if !j.mapped {
		return nil
	}
	j.mapped = false
	return unix.Munmap(j.mem)
}

// errFault: the file behind a journal has gone, as when somebody has shortened it, or its disk cannot be read.
var errFault = errors.New("the journal of a container's output cannot be reached")

// guarded runs what uses the journal, and makes an error of a fault of its mapping.
func (j *journal) guarded(use func() error) (err error) {
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
		err = errFault
	}()
	return use()
}

func (j *journal) holds(address uintptr) bool {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(j.mem)))
	return j.mapped && address >= begin && address < begin+journalSize
}

func pack(phase uint64, start, end int) uint64 { return phase<<48 | uint64(start)<<24 | uint64(end) }

func unpack(w uint64) (phase uint64, start, end int) {
	return w >> 48, int(w >> 24 & 0xffffff), int(w & 0xffffff)
}

func (j *journal) load() (phase uint64, start, end int) { return unpack(atomic.LoadUint64(j.state)) }

func (j *journal) store(phase uint64, start, end int) {
	atomic.StoreUint64(j.state, pack(phase, start, end))
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
	if n <= 0 || end+n >= bufferSize {
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
