package cli

import (
	"io"
	"sync"
	"time"

	"github.com/solopod/solopod/cli/visible"
)

// logQueue stands between the daemon and who reads its log, so that nobody waits for the reader: lines are queued and written by a
// goroutine. When the queue is full they are dropped and counted, and the log says so as soon as something of it was read. It is
// safe for concurrent use.
type logQueue struct {
	out io.Writer
	// most is how many bytes are queued; as many more may be being written.
	most int
	// told makes the line that says how many were lost.
	told func(lost int) []byte

	mu     sync.Mutex
	queued []byte
	lost   int
	ever   uint64 // lost since the beginning
	// flushed is closed when all that was queued is written; nil when it is.
	flushed chan struct{}
	wake    chan struct{}
}

// newLogQueue starts the goroutine, which goes on until the process ends: a write that hangs cannot be ended otherwise. It does first
// before the first write.
func newLogQueue(out io.Writer, most int, told func(lost int) []byte, first ...func()) *logQueue {
	q := &logQueue{out: out, most: most, told: told, wake: make(chan struct{}, 1)}
	go func() {
		for _, do := range first {
			do()
		}
		q.run()
	}()
	return q
}

// Write queues whole lines, or drops them. It neither waits nor fails.
func (q *logQueue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	given := len(lines)
	// Whoever reads the log does so on a terminal sooner or later, and not all that comes here was quoted.
	lines = []byte(visible.Text(string(lines)))
	if q.flushed == nil {
		q.flushed = make(chan struct{})
	}
	// What comes behind a gap waits for the line that tells of it.
	if q.lost > 0 || len(q.queued)+len(lines) > q.most {
		q.lost++
		q.ever++
	} else {
		q.queued = append(q.queued, lines...)
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return given, nil
}

func (q *logQueue) run() {
	for range q.wake {
		for {
			lines := q.take()
			if lines == nil {
				break
			}
			q.out.Write(lines) //nolint:errcheck // there is nowhere else to say it
		}
	}
}

// take returns what is to be written next, nil when all is.
func (q *logQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines := q.queued
	if q.lost > 0 {
		lines = append(lines, q.told(q.lost)...)
	}
	q.queued, q.lost = nil, 0
	if len(lines) == 0 {
		if q.flushed != nil {
			close(q.flushed)
			q.flushed = nil
		}
		return nil
	}
	return lines
}

// flush waits until all is written that was queued before, but no longer than limit.
func (q *logQueue) flush(limit time.Duration) {
	q.mu.Lock()
	flushed := q.flushed
	q.mu.Unlock()
	if flushed == nil {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-timer.C:
	}
}

// everLost is how many writes were dropped since the beginning.
func (q *logQueue) everLost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ever
}
