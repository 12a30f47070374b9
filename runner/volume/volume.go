// Package volume makes the volumes of a pod: one file per kind. A volume is a path of the host that containers mount.
package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/reference"
	"github.com/solopod/solopod/runner/tmpfs"
)

// Set is a pod's volumes: name -> path on the host.
type Set map[string]string

// Manager makes volumes.
type Manager struct {
	// Root holds volumes that live as long as the pod, over restarts and reboots.
	Root string
	// State holds volumes in memory.
	State string
	// Claims holds those that outlive their pods.
	Claims string
	// Told is told of each volume that was set up, or could not be, by the kubelet's name of its kind; nil for nobody.
	Told func(plugin string, took time.Duration, err error)
	// Bounds says how a path of the host is found that a pod of a namespace mounts; nil for wherever it leads.
	Bounds func(namespace string, h *v1.HostPathVolumeSource) policy.Bounds
}

// Files computes the content of a volume that Solopod fills.
type Files func(v *v1.Volume) (map[string]reference.File, error)

// MountImage mounts an image's files, read-only, at target.
type MountImage func(v *v1.ImageVolumeSource, target string) error

// SetUp makes all volumes of the pod; those that exist are kept as they are, but for the content of filled ones.
func (m Manager) SetUp(pod *v1.Pod, files Files, mount MountImage) error {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		begun := time.Now()
		err := m.setUpOne(pod, v, files, mount)
		if m.Told != nil {
			m.Told(manifests.VolumePlugin(v), time.Since(begun), err)
		}
		if err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
	}
	return nil
}

func (m Manager) setUpOne(pod *v1.Pod, v *v1.Volume, files Files, mount MountImage) error {
	path := m.path(pod, v)
	switch {
	case v.HostPath != nil:
		return setUpHostPath(v.HostPath, m.BoundsOf(pod, v.Name))
	case v.EmptyDir != nil && inMemory(v.EmptyDir):
		return errors.Join(setUpMemory(path, v.EmptyDir), giveEphemeral(pod, path))
	case v.EmptyDir != nil:
		return errors.Join(setUpDisk(path, v.EmptyDir), giveEphemeral(pod, path))
	case v.PersistentVolumeClaim != nil:
		return m.setUpClaim(pod, v.PersistentVolumeClaim)
	case v.Image != nil:
		if tmpfs.Mounted(path) {
			return nil
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		return mount(v.Image, path)
	case reference.Fills(v):
		return errors.Join(m.setUpFilled(string(pod.UID)), m.fillOne(pod, v, files))
	default:
		return errors.New("this kind of volume is not implemented") // validation refuses it earlier
	}
}

func inMemory(e *v1.EmptyDirVolumeSource) bool {
	return e.Medium != v1.StorageMediumDefault
}

// path is where a volume is.
func (m Manager) path(pod *v1.Pod, v *v1.Volume) string {
	uid := string(pod.UID)
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path
	case v.EmptyDir != nil && inMemory(v.EmptyDir):
		return filepath.Join(m.memoryDir(uid), v.Name)
	case v.PersistentVolumeClaim != nil:
		return filepath.Join(m.Claims, pod.Namespace, v.PersistentVolumeClaim.ClaimName, "data")
	case v.Image != nil:
		return filepath.Join(m.imageDir(uid), v.Name)
	case reference.Fills(v):
		return filepath.Join(m.filledDir(uid), v.Name)
	}
	return filepath.Join(m.diskDir(uid), v.Name)
}

// Find returns the paths of volumes that an earlier SetUp made.
func (m Manager) Find(pod *v1.Pod) Set {
	set := Set{}
	for i := range pod.Spec.Volumes {
		set[pod.Spec.Volumes[i].Name] = m.path(pod, &pod.Spec.Volumes[i])
	}
	return set
}

// Release gives the memory of volumes back, and unmounts what is mounted for the pod. What lies on the disk stays, as does what
// belongs to the host. It can be repeated.
func (m Manager) Release(uid string) error {
	return errors.Join(m.releaseAllBinds(uid), remove(m.memoryDir(uid), m.imageDir(uid), m.filledDir(uid)))
}

// TearDown removes what SetUp and MakeImageDirs made; what belongs to the host, and claims, stay, as does what is mounted in a volume. It can be repeated.
func (m Manager) TearDown(uid string) error {
	return errors.Join(m.Release(uid), remove(m.diskDir(uid), m.imageDirs(uid)))
}

func (m Manager) memoryDir(uid string) string { return filepath.Join(m.State, uid, "volumes") }
func (m Manager) imageDir(uid string) string  { return filepath.Join(m.State, uid, "images") }
func (m Manager) filledDir(uid string) string { return filepath.Join(m.State, uid, "filled") }
func (m Manager) bindDir(uid string) string   { return filepath.Join(m.State, uid, "binds") }
func (m Manager) diskDir(uid string) string   { return filepath.Join(m.Root, uid, "volumes") }
