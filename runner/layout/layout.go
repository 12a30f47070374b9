// Package layout says where the files of pods and containers lie. It is pure: nothing is looked up.
package layout

import (
	"path/filepath"
	"strconv"

	v1 "k8s.io/api/core/v1"
)

// Dirs are the three places where everything lies.
type Dirs struct {
	// Root outlives a reboot, State does not; Logs holds what log shippers read, with a kubelet's names.
	Root, State, Logs string
}

// Records holds a directory for each pod, by UID.
func (d Dirs) Records() string { return filepath.Join(d.Root, "pods") }

// RecordDir is what a pod keeps over a reboot.
func (d Dirs) RecordDir(uid string) string { return filepath.Join(d.Records(), uid) }

// RecordPath is the file of a pod's record.
func (d Dirs) RecordPath(uid string) string { return filepath.Join(d.RecordDir(uid), "pod.json") }

// Checkpoints holds the archives of checkpointed containers.
func (d Dirs) Checkpoints() string { return filepath.Join(d.Root, "checkpoints") }

// States holds a directory for each pod, by UID.
func (d Dirs) States() string { return filepath.Join(d.State, "pods") }

// StateDir is what a pod has until the next reboot.
func (d Dirs) StateDir(uid string) string { return filepath.Join(d.States(), uid) }

// NameFile says which pod a state directory is of, also where there is no record.
func (d Dirs) NameFile(uid string) string { return filepath.Join(d.StateDir(uid), "name") }

// Namespaces is where a pod's namespaces are pinned.
func (d Dirs) Namespaces(uid string) string { return filepath.Join(d.StateDir(uid), "ns") }

// NetworkNamespace is where that of a pod without the host's network is pinned.
func (d Dirs) NetworkNamespace(uid string) string { return filepath.Join(d.Namespaces(uid), "net") }

// SharedMemory is the pod's /dev/shm.
func (d Dirs) SharedMemory(uid string) string { return filepath.Join(d.StateDir(uid), "shm") }

// ContainerDir holds the files of one attempt of a container; it goes when that is over and its log is complete.
func (d Dirs) ContainerDir(uid, name string, attempt int) string {
	return filepath.Join(d.StateDir(uid), "containers", name, strconv.Itoa(attempt))
}

// StreamDir holds the FIFOs of the container's main process.
func (d Dirs) StreamDir(uid, name string, attempt int) string {
	return filepath.Join(d.ContainerDir(uid, name, attempt), "io")
}

// ExecDir holds those of further processes.
func (d Dirs) ExecDir(uid, name string, attempt int) string {
	return filepath.Join(d.ContainerDir(uid, name, attempt), "exec")
}

// Files is where a small file system of the pod's own is mounted. It holds Solopod's files that containers can write to, so that none of
// them fills the state directory. It lies beside the volumes in memory, which every version unmounts at a pod's end; no volume has its name.
func (d Dirs) Files(uid string) string { return filepath.Join(d.StateDir(uid), "volumes", "..files") }

// TerminationFile is the container's terminationMessagePath on the host. The container writes it.
func (d Dirs) TerminationFile(uid, name string, attempt int) string {
	return filepath.Join(d.Files(uid), "termination-log."+name+"."+strconv.Itoa(attempt))
}

// OldTerminationFile is where versions had it that knew no Files.
func (d Dirs) OldTerminationFile(uid, name string, attempt int) string {
	return filepath.Join(d.ContainerDir(uid, name, attempt), "termination-log")
}

// LogRoot holds a directory for each pod.
func (d Dirs) LogRoot() string { return filepath.Join(d.Logs, "pods") }

// LogDir holds a pod's logs.
func (d Dirs) LogDir(pod *v1.Pod) string {
	return filepath.Join(d.LogRoot(), pod.Namespace+"_"+pod.Name+"_"+string(pod.UID))
}

// ContainerLogDir holds the logs of a container's attempts.
func (d Dirs) ContainerLogDir(pod *v1.Pod, name string) string {
	return filepath.Join(d.LogDir(pod), name)
}

// LogFile is the log of one attempt; what was rotated away lies beside it.
func (d Dirs) LogFile(pod *v1.Pod, name string, attempt int) string {
	return filepath.Join(d.ContainerLogDir(pod, name), strconv.Itoa(attempt)+".log")
}

// LinkRoot holds links to the logs of all containers.
func (d Dirs) LinkRoot() string { return filepath.Join(d.Logs, "containers") }

// LinkPath is the link to a container's log. id is the container's in containerd.
func (d Dirs) LinkPath(pod *v1.Pod, name, id string) string {
	return filepath.Join(d.LinkRoot(), pod.Name+"_"+pod.Namespace+"_"+name+"-"+id+".log")
}

// Claims holds the data of PersistentVolumeClaims.
func (d Dirs) Claims() string { return filepath.Join(d.Root, "claims") }

// Temporary is where images are mounted for a moment.
func (d Dirs) Temporary() string { return filepath.Join(d.State, "tmp") }

// Unwritten holds last output that the logs' disk did not take.
func (d Dirs) Unwritten() string { return filepath.Join(d.State, "unwritten") }
