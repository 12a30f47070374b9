// Package oom learns of processes that the kernel killed for memory, also of a child whose container lives on.
//
// The truth is a cgroup's kill counter. With cgroup v1 it is oom_kill in memory.oom_control, and an eventfd tells when
// the limit was hit; with v2 it is oom_kill in memory.events, and inotify tells of its changes. containerd's own event
// misses some kills, and /dev/kmsg is limited in its rate.
package oom

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/cgroups/v3"

	"github.com/solopod/solopod/runner/foreign"
)

const mountpoint = "/sys/fs/cgroup"

// Watcher watches cgroups. It is safe for concurrent use.
type Watcher struct {
	changes changes
	// told: a watch failed, which was logged. Others that fail until one succeeds are not.
	told atomic.Bool
}

// New watches nothing yet.
func New() *Watcher { return &Watcher{} }

// Kills reads how many processes of the cgroup were killed for memory since it was made.
func (*Watcher) Kills(cgroupPath string) (uint64, error) {
	if cgroups.Mode() == cgroups.Unified {
		return readCounter(filepath.Join(mountpoint, cgroupPath, "memory.events"))
	}
	return readCounter(filepath.Join(mountpoint, "memory", cgroupPath, "memory.oom_control"))
}

func readCounter(path string) (uint64, error) {
	counters, err := foreign.ReadKernel(path)
	if err != nil {
		return 0, err
	}
	return ParseKills(bytes.NewReader(counters))
}

// ParseKills finds oom_kill in memory.oom_control (v1) or memory.events (v2): one "name number" a line.
func ParseKills(r io.Reader) (uint64, error) {
	n, err := parseCounter(r, "oom_kill")
	if errors.Is(err, errNoCounter) {
		return 0, fmt.Errorf("%w (Linux before 4.13 has none)", err)
	}
	return n, err
}

var errNoCounter = errors.New("there is no such counter")

func parseCounter(r io.Reader, counter string) (uint64, error) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		name, value, ok := strings.Cut(sc.Text(), " ")
		if ok && name == counter {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("cannot read the counter %s: %w", counter, err)
			}
			return n, nil
		}
	}
	if err := sc.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%w as %s", errNoCounter, counter)
}

// Watch calls report with the cgroup's kill count after each kill, from a goroutine of its own, until stop is called.
// stop waits for that goroutine. Kills before Watch are reported at once: a process may not outlive the moment after its start.
//
// When it fails the kills are still counted, for who asks Kills at the container's end. The first of several failures is logged
// here.
func (w *Watcher) Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error) {
	stop, err = w.watch(cgroupPath, report)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) && !w.told.Swap(true) { // a container may end at once
			slog.Warn("containers cannot be watched for kills; they are counted at the containers' ends", "cgroup", cgroupPath, "err", err)
		}
		return nil, err
	}
	w.told.Store(false)
	return stop, nil
}

func (w *Watcher) watch(cgroupPath string, report func(kills uint64)) (stop func(), err error) {
	var wait func() error
	var end func()
	if cgroups.Mode() == cgroups.Unified {
		wait, end, err = w.watchUnified(filepath.Join(mountpoint, cgroupPath, "memory.events"))
	} else {
		wait, end, err = watchLegacy(filepath.Join(mountpoint, "memory", cgroupPath))
	}
	if err != nil {
		return nil, err
	}
	known, err := w.Kills(cgroupPath)
	if err != nil {
		end()
		return nil, err
	}
	done, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if known > 0 {
			report(known)
		}
		for wait() == nil {
			known = w.settle(cgroupPath, known, report, quit)
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		end()
		<-done
	}), nil
}
