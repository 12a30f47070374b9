// Package volume makes the volumes of a pod: one file per kind. A volume is a path of the host that containers mount.
package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
)

// Set is a pod's volumes: name -> path on the host.
type Set map[string]string

// Manager makes volumes.
type Manager struct {
	// Root holds volumes that live as long as the pod, over restarts and reboots.
	Root string
	// State holds volumes in memory.
	State string
}

// SetUp makes all volumes of the pod; those that exist are kept as they are.
func (m Manager) SetUp(pod *v1.Pod) (Set, error) {
	set := Set{}
	for _, v := range pod.Spec.Volumes {
		path, err := m.setUpOne(string(pod.UID), v)
		if err != nil {
			return nil, fmt.Errorf("volume %q: %w", v.Name, err)
		}
		set[v.Name] = path
	}
	return set, nil
}

func (m Manager) setUpOne(uid string, v v1.Volume) (string, error) {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, setUpHostPath(v.HostPath)
	case v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumMemory:
		path := filepath.Join(m.memoryDir(uid), v.Name)
		return path, setUpMemory(path, v.EmptyDir)
	case v.EmptyDir != nil:
		path := filepath.Join(m.diskDir(uid), v.Name)
		return path, setUpDisk(path)
	default:
		return "", errors.New("this kind of volume is not implemented") // validation refuses it earlier
	}
}

// Find returns the paths of volumes that an earlier SetUp made.
func (m Manager) Find(pod *v1.Pod) Set {
	set := Set{}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.HostPath != nil:
			set[v.Name] = v.HostPath.Path
		case v.EmptyDir != nil && v.EmptyDir.Medium == v1.StorageMediumMemory:
			set[v.Name] = filepath.Join(m.memoryDir(string(pod.UID)), v.Name)
		default:
			set[v.Name] = filepath.Join(m.diskDir(string(pod.UID)), v.Name)
		}
	}
	return set
}

// Release gives the memory of volumes back. Those on the disk stay, as does what belongs to the host. It can be repeated.
func (m Manager) Release(uid string) error { return tearDownMemory(m.memoryDir(uid)) }

// TearDown removes what SetUp made; what belongs to the host stays. It can be repeated.
func (m Manager) TearDown(uid string) error {
	return errors.Join(m.Release(uid), os.RemoveAll(m.diskDir(uid)))
}

func (m Manager) memoryDir(uid string) string { return filepath.Join(m.State, uid, "volumes") }
func (m Manager) diskDir(uid string) string   { return filepath.Join(m.Root, uid, "volumes") }
