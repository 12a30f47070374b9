package container

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/spec"
	"github.com/solopod/solopod/runner/volume"
)

// mostImageVolumes bounds what an image may declare: each volume is a mount.
const mostImageVolumes = 128

// imageVolumes makes a directory of its own for each volume that the image declares (VOLUME), with what the image has there, as
// containerd's CRI does: it can be written to also where the root file system cannot, and goes with the attempt.
func (c *Containers) imageVolumes(ctx context.Context, w plan.Create, image engine.Image, ns namespace.Namespaces, files map[string]string, fileLabel string) (map[string]spec.Bind, error) {
	paths := volumePaths(w, image, files)
	if len(paths) > mostImageVolumes {
		return nil, fmt.Errorf("image %s declares %d volumes; a container can have %d", image.Name, len(paths), mostImageVolumes)
	}
	uid := string(w.Pod.UID)
	dirs, err := c.Volumes.MakeImageDirs(uid, w.Name, w.Attempt, len(paths))
	if err != nil || len(paths) == 0 {
		return nil, err
	}
	copies := map[string]string{}
	for i, inside := range paths {
		copies[inside] = dirs[i]
	}
	if err := c.Changer.CopyDirs(ctx, image, copies); err != nil {
		return nil, err
	}
	out := map[string]spec.Bind{}
	for i, inside := range paths {
		bound := spec.Bind{Source: dirs[i]}
		if fileLabel != "" {
			if err := volume.Label(bound.Source, fileLabel); err != nil {
				return nil, fmt.Errorf("the image's volume %s: cannot label it for SELinux: %w", inside, err)
			}
		}
		if ns.User != "" {
			b := volume.Bind{Name: "image-" + strconv.Itoa(i), Source: bound.Source, Users: ns.User}
			if bound.Source, err = c.Volumes.Bind(uid, w.Name, b); err == nil {
				bound.Options, err = volume.LockedOptions(bound.Source)
			}
			if err != nil {
				return nil, fmt.Errorf("the image's volume %s: %w", inside, err)
			}
		}
		out[inside] = bound
	}
	return out, nil
}

// volumePaths are the image's volumes, sorted, but for those on which the manifest, or Solopod, mounts something.
func volumePaths(w plan.Create, image engine.Image, files map[string]string) []string {
	taken := map[string]bool{"/": true, "/dev": true, "/dev/shm": true, "/proc": true, "/sys": true}
	for _, m := range w.Spec.VolumeMounts {
		taken[path.Clean("/"+m.MountPath)] = true
	}
	for inside := range files {
		taken[inside] = true
	}
	wanted := map[string]bool{}
	for inside := range image.Config.Volumes {
		if inside = path.Clean("/" + inside); !taken[inside] {
			wanted[inside] = true
		}
	}
	return slices.Sorted(maps.Keys(wanted))
}
