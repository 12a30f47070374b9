// Package spool keeps the last output of containers that have ended while the disk of their logs took nothing.
package spool

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/rescue"
)

// Bounds of a Spool, whose directory is in memory on most machines.
const (
	maxSpooled = 1 << 20  // of a stream
	maxSpool   = 16 << 20 // of all
)

// A spool is looked at again after so long, while something is in it.
const (
	firstDelivery = 5 * time.Second
	lastDelivery  = time.Minute
)

// Spool keeps the last output of containers that have ended while the disk of their logs took nothing, and writes it to the
// logs when it can be. It is a directory of files, which the next run finds as well. It is safe for concurrent use.
type Spool struct {
	dir  string
	own  string // begins the names of the files that streams of this process write
	kick chan struct{}
}

// New prepares a Spool in dir, which is made when it is needed. The caller must have Run run.
func New(dir string) *Spool {
	return &Spool{dir: dir, own: rand.Text() + "-", kick: make(chan struct{}, 1)}
}

// spoolHeader is the first line of a file; CRI lines follow.
type spoolHeader struct {
	Version int    `json:"version"`
	Log     string `json:"log"`
	// Size is how long the log was when it was begun to be written to; negative before. It has a fixed length.
	Size string `json:"size"`
}

const (
	spoolVersion = 1
	spoolSuffix  = ".spool"
	openSuffix   = ".open" // a stream is still writing it
)

func (h spoolHeader) line() ([]byte, error) {
	b, err := json.Marshal(h)
	return append(b, '\n'), err
}

func sizeOf(n int64) string { return fmt.Sprintf("%020d", n) }

// Rest is a file that takes the rest of a log in its place. One goroutine at a time uses it.
type Rest struct {
	path  string
	file  *os.File
	size  int64
	spool *Spool
}

// Take makes a file for the rest of a log. The caller must close it.
func (s *Spool) Take(log string) (*Rest, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	total, err := s.total()
	if err != nil {
		return nil, err
	}
	if total+maxSpooled > maxSpool {
		return nil, fmt.Errorf("more than %d MiB wait in %s for logs that cannot be written", (maxSpool-maxSpooled)>>20, s.dir)
	}
	header, err := spoolHeader{spoolVersion, log, sizeOf(-1)}.line()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, s.own+"*"+openSuffix)
	if err != nil {
		return nil, err
	}
	sp := &Rest{path: f.Name(), file: f, spool: s}
	if err := sp.Write(header); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return sp, nil
}

func (s *Spool) total() (int64, error) {
	entries, err := os.ReadDir(s.dir)
	total := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return total, err
}

var errSpoolFull = fmt.Errorf("no more than %d KiB of a stream are kept for a log that cannot be written", maxSpooled>>10)

// Path is where the file lies while it is written.
func (s *Rest) Path() string { return s.path }

// Write appends whole lines, or nothing.
func (s *Rest) Write(b []byte) error {
	if s.size+int64(len(b)) > maxSpooled {
		return errSpoolFull
	}
	if _, err := s.file.WriteAt(b, s.size); err != nil {
		return errors.Join(err, s.file.Truncate(s.size))
	}
	s.size += int64(len(b))
	return nil
}

// Close hands the file over to those that Run delivers.
func (s *Rest) Close() error {
	err := errors.Join(s.file.Close(), os.Rename(s.path, strings.TrimSuffix(s.path, openSuffix)+spoolSuffix))
	select {
	case s.spool.kick <- struct{}{}:
	default:
	}
	return err
}

// Run writes to the logs what is kept for them, as soon as they can be written, until ctx ends. It waits for disks: the
// caller must not wait for it without a limit. Files that a killed run was still writing are delivered too.
func (s *Spool) Run(ctx context.Context) {
	if err := s.takeOver(); err != nil {
		slog.Warn("cannot look for what could not be written to logs", "dir", s.dir, "err", err)
	}
	delay := firstDelivery
	for ctx.Err() == nil {
		var again <-chan time.Time
		if left := s.deliver(ctx); left {
			again = time.After(delay) // a full disk has no event
			delay = min(2*delay, lastDelivery)
		} else {
			delay = firstDelivery
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-s.kick:
		}
	}
}

// takeOver names the files of an earlier run that was killed like those that are complete.
func (s *Spool) takeOver() error {
	paths, err := files(s.dir, openSuffix)
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), s.own) {
			continue
		}
		err = errors.Join(err, os.Rename(path, strings.TrimSuffix(path, openSuffix)+spoolSuffix))
	}
	return err
}

func files(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}

// deliver tries every file, and says whether some must be tried again.
func (s *Spool) deliver(ctx context.Context) (left bool) {
	paths, err := files(s.dir, spoolSuffix)
	if err != nil {
		return true
	}
	for _, path := range paths {
		if ctx.Err() != nil {
			return true
		}
		var log string
		err := rescue.Do("write what is kept for a container's log", func() (err error) { log, err = deliverFile(path); return err })
		switch {
		case errors.Is(err, errSpoolDamaged), errors.Is(err, rescue.ErrPanicked):
			slog.Warn("what could not be written to a log is damaged and set aside", "file", path+durable.AsideSuffix, "err", err)
			err = os.Rename(path, path+durable.AsideSuffix)
		case err == nil:
			slog.Info("the end of a container's log is written", "log", log)
			err = os.Remove(path)
		}
		if err != nil {
			slog.Debug("cannot write the end of a container's log yet", "file", path, "err", err)
			left = true
		}
	}
	return left
}

var errSpoolDamaged = errors.New("damaged")

// deliverFile appends a file to its log. It can be done again after a kill: what was half written is cut off.
func deliverFile(path string) (log string, err error) {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSpoolDamaged, err)
	}
	defer f.Close() //nolint:errcheck // what counts is in the log
	b, err := io.ReadAll(io.LimitReader(f, maxSpooled+1))
	if err != nil {
		return "", err
	}
	h, size, text, err := parseSpool(b)
	if err != nil {
		return "", err
	}
	file := logfile.New(h.Log, logfile.Limits{})
	if size >= 0 {
		file.Interrupted(size, text)
	}
	var noted error
	err = file.Transaction(text, func(size int64) {
		h.Size = sizeOf(size)
		line, err := h.line()
		if err == nil {
			_, err = f.WriteAt(line, 0)
		}
		noted = err
	}, func() {})
	if noted != nil {
		slog.Debug("cannot note that a log is written to; a kill now could double lines", "file", path, "err", noted)
	}
	return h.Log, errors.Join(err, file.Close())
}

// parseSpool divides a file; lines that are not of the CRI format are left out.
func parseSpool(b []byte) (h spoolHeader, size int64, text []byte, err error) {
	header, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || len(b) > maxSpooled || json.Unmarshal(header, &h) != nil || h.Version != spoolVersion {
		return h, 0, nil, fmt.Errorf("%w: it has no header", errSpoolDamaged)
	}
	if size, err = strconv.ParseInt(h.Size, 10, 64); err != nil {
		return h, 0, nil, fmt.Errorf("%w: its size is %q", errSpoolDamaged, h.Size)
	}
	if !filepath.IsAbs(h.Log) || filepath.Clean(h.Log) != h.Log || filepath.Ext(h.Log) != ".log" {
		return h, 0, nil, fmt.Errorf("%w: it is for %q", errSpoolDamaged, h.Log)
	}
	for line := range bytes.Lines(rest) {
		if _, err := cri.Parse(bytes.TrimSuffix(line, []byte("\n"))); err == nil && bytes.HasSuffix(line, []byte("\n")) {
			text = append(text, line...)
		}
	}
	return h, size, text, nil
}

// Forget drops what a Spool in dir keeps for logs below the directory of a pod that is removed. The Spool may run meanwhile.
func Forget(dir, logs string) error {
	paths, err := files(dir, spoolSuffix)
	errs := []error{err}
	for _, path := range paths {
		b, err := durable.ReadFile(path, maxSpooled)
		if err != nil {
			continue // it has just been delivered, or Run sets it aside
		}
		if h, _, _, err := parseSpool(b); err == nil && strings.HasPrefix(h.Log, logs+"/") {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
