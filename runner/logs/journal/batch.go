package journal

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/solopod/solopod/runner/logs/cri"
)

// Path is where the journal's file lies, or should.
func (j *Journal) Path() string { return j.path }

// InFile says that what is pending is found by the next run. Otherwise the journal is in memory, and the next run finds nothing.
func (j *Journal) InFile() bool { return j.mapped }

// Pending is what is not in the log yet. It is good until the next Read, Room or Close.
func (j *Journal) Pending() []byte {
	_, start, end := j.load()
	return j.buf[start:end]
}

// Interrupted returns what a run was writing when it ended, or what a Writing without a Written is about, and the size that the log
// had before.
func (j *Journal) Interrupted() (size int64, text []byte, ok bool) {
	phase, start, end := j.load()
	if phase != phaseWriting {
		return 0, nil, false
	}
	return int64(atomic.LoadUint64(j.size)), j.buf[start:end], true
}

// marker fills the place of the next bytes; 0xff never occurs in UTF-8.
var marker = bytes.Repeat([]byte{0xff}, markerSize)

// Recover takes a read that a killed run had announced for done, or for not done.
func (j *Journal) Recover() {
	if phase, start, end := j.load(); phase == phaseReading {
		j.store(phaseIdle, start, j.recovered(end))
	}
}

// recovered returns the end of the data after a crash while reading.
func (j *Journal) recovered(end int) int {
	n := int(atomic.LoadUint64(j.expect))
	if n <= 0 || end+n >= bufferSize {
		return end
	}
	if bytes.Equal(j.buf[end:end+min(n, markerSize)], marker[:min(n, markerSize)]) {
		return end
	}
	return end + n
}

// Room makes place for more; full is true when what is pending leaves too little of it, and must be written first.
func (j *Journal) Room() (full bool) {
	_, start, end := j.load()
	if start == end {
		j.store(phaseIdle, 0, 0)
		return false
	}
	if bufferSize-end >= cri.MaxLine {
		return false
	}
	if pending := end - start; pending <= start && pending < cri.MaxLine {
		// The ranges do not overlap, so the old copy is whole until the state word moves.
		copy(j.buf, j.buf[start:end])
		j.store(phaseIdle, 0, pending)
		return false
	}
	return true
}

// Read has read fill a part of the journal with the next bytes, of which there are n at least: a run that is killed meanwhile finds
// either all that fit or none. It returns what read does.
func (j *Journal) Read(n int, now time.Time, read func([]byte) (int, error)) (int, error) {
	_, start, end := j.load()
	n = min(n, bufferSize-1-end) // one byte is kept: earlier versions end the last line there
	copy(j.buf[end:end+n], marker)
	atomic.StoreUint64(j.nanos, uint64(now.UnixNano()))
	atomic.StoreUint64(j.expect, uint64(n))
	j.store(phaseReading, start, end)
	got, err := read(j.buf[end : end+n])
	j.store(phaseIdle, start, end+max(got, 0))
	return got, err
}

// Writing notes that what is pending is being written to a log of that size, in bytes.
func (j *Journal) Writing(size int64) {
	_, start, end := j.load()
	atomic.StoreUint64(j.size, uint64(size))
	j.store(phaseWriting, start, end)
}

// Written notes that the first n bytes of what is pending are in the log.
func (j *Journal) Written(n int) {
	_, start, end := j.load()
	j.store(phaseIdle, start+n, end)
}
