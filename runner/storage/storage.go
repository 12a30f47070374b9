// Package storage finds out what a pod takes up on disks: its volumes, what its containers have written, and their logs. It says where
// to look, and looks when it is asked; when that is done is others' matter. What it looks at is shaped by containers, and lies on file
// systems that may not answer.
package storage

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/reference"
)

// Kind says what of a pod a Place is.
type Kind string

// The kinds of places.
const (
	Volume       Kind = "volume"
	Layer        Kind = "layer" // what a container has written into its root file system
	Logs         Kind = "logs"  // of a container
	ImageVolumes Kind = "image-volumes"
)

// Place is something of a pod that takes up room on a disk.
type Place struct {
	Namespace, Pod, UID string
	Kind                Kind
	// Name is the volume's, or the container's.
	Name string
	// Claim names the PersistentVolumeClaim, in the pod's namespace, that a volume is; empty for others.
	Claim string
	// Memory: the volume is a file system in memory.
	Memory bool
	// ID is the container's in containerd.
	ID string
	// Path is the directory that is measured; of a layer a directory on the same file system.
	Path string
	// Disk is what does not answer when Path does not: a directory of Solopod's, or the claim's own.
	Disk string
}

// Key tells the place from all others. Pods that share a claim have it in common.
func (p Place) Key() string {
	if p.Claim != "" {
		return strings.Join([]string{"claim", p.Namespace, p.Claim}, "/")
	}
	return strings.Join([]string{string(p.Kind), p.UID, p.Name, p.ID}, "/")
}

// Ephemeral says that what is there goes with the pod, and lies on a disk (as the kubelet: pkg/kubelet/server/stats, ephemeral-storage).
func (p Place) Ephemeral() bool { return p.Claim == "" && !p.Memory }

// Container is one that runs.
type Container struct{ Name, ID, LogDir, ImageVolumes string }

// Dirs are those of Solopod's that all pods' places lie in.
type Dirs struct{ Root, State, Logs string }

// Places lists those of a pod. volumes says where its volumes are. As with the kubelet, directories of the machine and images are not
// the pod's.
func Places(pod *v1.Pod, volumes map[string]string, containers []Container, dirs Dirs) []Place {
	of := Place{Namespace: pod.Namespace, Pod: pod.Name, UID: string(pod.UID)}
	var out []Place
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		p := of
		p.Kind, p.Name, p.Path, p.Disk = Volume, v.Name, volumes[v.Name], dirs.Root
		switch {
		case v.EmptyDir != nil && v.EmptyDir.Medium != v1.StorageMediumDefault:
			p.Memory, p.Disk = true, dirs.State
		case v.EmptyDir != nil:
		case v.PersistentVolumeClaim != nil:
			p.Claim, p.Disk = v.PersistentVolumeClaim.ClaimName, p.Path // a disk may be mounted there
		case reference.Fills(v):
			p.Memory, p.Disk = true, dirs.State
		default:
			continue
		}
		out = append(out, p)
	}
	for _, c := range containers {
		p := of
		p.Name, p.ID = c.Name, c.ID
		p.Kind, p.Path, p.Disk = Layer, dirs.Root, dirs.Root
		out = append(out, p)
		p.Kind, p.Path, p.Disk = Logs, c.LogDir, dirs.Logs
		out = append(out, p)
		p.Kind, p.Path, p.Disk = ImageVolumes, c.ImageVolumes, dirs.Root
		out = append(out, p)
	}
	return out
}

// FileSystem is what the file system says that a place lies on: bytes, available to others than root, and inodes.
type FileSystem struct{ Capacity, Available, Inodes, InodesFree uint64 }

// Measured is what was found.
type Measured struct {
	foreign.Space
	FileSystem
	At time.Time
}

// Engine knows what containers have written; runner/engine has one.
type Engine interface {
	Usage(ctx context.Context, id string) (foreign.Space, error)
}

// Scale measures. It is safe for concurrent use.
type Scale struct {
	Engine Engine
	disks  aside.Places
}

// Measure looks at a place, for at most limit. What its disk does not answer is left behind, and while that hangs nothing more is begun
// on this disk: the error is aside.ErrHangs in both cases. Of a tree that is nested too deep to be counted it says what was counted.
func (s *Scale) Measure(ctx context.Context, p Place, limit time.Duration) (Measured, error) {
	looking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return aside.Do(ctx, &s.disks, p.Disk, limit, func() (Measured, error) {
		m, err := s.look(looking, p)
		m.At = time.Now()
		return m, err
	})
}

func (s *Scale) look(ctx context.Context, p Place) (m Measured, err error) {
	switch p.Kind {
	case Layer:
		m.Space, err = s.Engine.Usage(ctx, p.ID)
	default:
		m.Space, err = walk(ctx, p.Path)
	}
	switch {
	case p.Kind == ImageVolumes && errors.Is(err, os.ErrNotExist): // the image declares none
		return m, nil
	case errors.Is(err, foreign.ErrTooDeep):
	case err != nil:
		return m, err
	}
	m.FileSystem, err = fileSystem(p.Path)
	return m, err
}

func walk(ctx context.Context, path string) (foreign.Space, error) {
	dir, err := foreign.OpenDir(path, foreign.NoLinks)
	if err != nil {
		return foreign.Space{}, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	return dir.Space(ctx)
}

func fileSystem(path string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return FileSystem{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	size := uint64(st.Frsize) //nolint:gosec // a size
	return FileSystem{Capacity: st.Blocks * size, Available: st.Bavail * size, Inodes: st.Files, InodesFree: st.Ffree}, nil
}
