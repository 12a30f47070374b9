package runner

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/owner"
	"github.com/solopod/solopod/runner/storage"
	"github.com/solopod/solopod/runner/volume"
)

// Disks says what pods take up on disks. It is safe for concurrent use.
type Disks struct {
	owner   *owner.Owner
	dirs    layout.Dirs
	volumes volume.Manager
	scale   storage.Scale
}

// Places lists what takes up room on disks of the pods that are set up.
func (d *Disks) Places() []storage.Place {
	var out []storage.Place
	for _, s := range d.owner.Snapshots() {
		if !s.State.SetUp {
			continue
		}
		var running []storage.Container
		for _, name := range slices.Sorted(maps.Keys(s.State.Containers)) {
			if c := s.State.Containers[name]; c.Running {
				running = append(running, storage.Container{
					Name: name, ID: c.ID, LogDir: d.dirs.ContainerLogDir(s.Pod, name),
					ImageVolumes: d.volumes.ImageDirs(string(s.Pod.UID), name, c.Attempt),
				})
			}
		}
		dirs := storage.Dirs{Root: d.dirs.Root, State: d.dirs.State, Logs: d.dirs.Logs}
		out = append(out, storage.Places(s.Pod, d.volumes.Find(s.Pod), running, dirs)...)
	}
	return out
}

// Measure looks at a place, for at most limit.
func (d *Disks) Measure(ctx context.Context, p storage.Place, limit time.Duration) (storage.Measured, error) {
	return d.scale.Measure(ctx, p, limit)
}
