// Package supply measures what is left of what a machine can run short of.
package supply

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/pressure"
)

// limit is how long a disk may take to tell of itself; it takes microseconds.
const limit = time.Second

// Machine tells how much there is. Its methods may hang; pressure.Linux is one.
type Machine interface {
	Memory() (total, available uint64, err error)
	Disk(dir string) (pressure.Disk, error)
	Processes() (count, most uint64, err error)
}

// Supply is a machine with the disks that count. It is safe for concurrent use.
type Supply struct {
	machine Machine
	// root is the directory of pods' data, images that of images; empty where that is not known.
	root, images string
	places       aside.Places
}

// New makes the supply of a machine whose pods' data lies in root and whose images in images; it may be empty.
func New(m Machine, root, images string) *Supply {
	return &Supply{machine: m, root: root, images: images}
}

// look measures something, and says what is left of which signals.
type look struct {
	place   string
	signals []threshold.Signal
	measure func() ([]threshold.Level, error)
}

func (s *Supply) looks() []look {
	disk := func(dir string, signals ...threshold.Signal) look {
		return look{dir, signals, func() ([]threshold.Level, error) {
			d, err := s.machine.Disk(dir)
			return []threshold.Level{{Available: d.Available, Capacity: d.Size}, {Available: d.FilesFree, Capacity: d.Files}}, err
		}}
	}
	out := []look{
		{"memory", []threshold.Signal{threshold.Memory}, func() ([]threshold.Level, error) {
			total, available, err := s.machine.Memory()
			return []threshold.Level{{Available: available, Capacity: total}}, err
		}},
		{"processes", []threshold.Signal{threshold.Processes}, func() ([]threshold.Level, error) {
			count, most, err := s.machine.Processes()
			return []threshold.Level{{Available: most - min(count, most), Capacity: most}}, err
		}},
		disk(s.root, threshold.NodeSpace, threshold.NodeFiles),
	}
	if s.images != "" {
		out = append(out, disk(s.images, threshold.ImageSpace, threshold.ImageFiles))
	}
	return out
}

// Levels measures the signals that are wanted. It returns within some seconds, without those that could not be measured; err says why of one
// of them. What has no bound (processes, files of btrfs) has no capacity.
func (s *Supply) Levels(ctx context.Context, wanted []threshold.Signal) (levels map[threshold.Signal]threshold.Level, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	levels = map[threshold.Signal]threshold.Level{}
	for _, l := range s.looks() {
		if !slices.ContainsFunc(l.signals, func(s threshold.Signal) bool { return slices.Contains(wanted, s) }) {
			continue
		}
		wg.Go(func() {
			found, failed := aside.Do(ctx, &s.places, l.place, limit, l.measure)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = failed
				return
			}
			for i, signal := range l.signals {
				if slices.Contains(wanted, signal) {
					levels[signal] = found[i]
				}
			}
		})
	}
	wg.Wait()
	return levels, err
}
