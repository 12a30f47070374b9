// Package record has the form of what is known of a process that the kernel killed for memory: as the store keeps it, the API
// serves it, and commands show it.
package record

import "time"

// Owner is whose limit was hit.
type Owner string

// Whose it may be.
const (
	Container Owner = "container" // its own limit
	Pod       Owner = "pod"       // the limit of its pod as a whole
	Pods      Owner = "pods"      // the limit of all pods together, or of those of a QoS class
	Ancestor  Owner = "ancestor"  // a limit above all pods, or of a cgroup that is none of ours
	Machine   Owner = "machine"   // none: the machine was full, or the part of it that the process was bound to
	Unknown   Owner = "unknown"
)

// Owners are all of them.
var Owners = []Owner{Container, Pod, Pods, Ancestor, Machine, Unknown}

// Source says where a record comes from.
type Source string

// Sources.
const (
	Log     Source = "log"     // the kernel's log said it
	Counter Source = "counter" // only a cgroup's counter of kills did
)

// Record is one process that was killed. What is not known is left out: text is empty, a number nil, except in Victim.
type Record struct {
	// ID names the record for as long as it is kept.
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	// Before: the process was killed at some time before Time, while Solopod did not run.
	Before bool `json:"before,omitempty"`

	// Pod is empty for a process of no pod.
	Pod         PodName `json:"pod,omitzero"`
	Container   string  `json:"container,omitempty"`
	ContainerID string  `json:"containerID,omitempty"`
	Attempt     int     `json:"attempt,omitempty"`

	// Process is the killed process' name of at most 15 bytes (proc(5), comm); Command its command line, where it could be read.
	// Both are of its own making: make them visible before a terminal gets them.
	Process string  `json:"process,omitempty"`
	PID     int     `json:"pid,omitempty"` // as the machine counts
	UID     *uint32 `json:"uid,omitempty"`
	// Main: it was the container's main process, which the container ends with; nil where that is not known.
	Main    *bool  `json:"main,omitempty"`
	Command string `json:"command,omitempty"`

	Owner Owner `json:"owner"`
	// Part: of the machine's memory only the part was full that the process was bound to (cpuset, set_mempolicy(2)).
	Part bool `json:"part,omitempty"`
	// Cgroup is the one that hit its limit, as a path below the cgroup file system; empty when none did.
	Cgroup string `json:"cgroup,omitempty"`
	// Limit, Usage and Peak are that cgroup's, in bytes.
	Limit *int64 `json:"limit,omitempty"`
	Usage *int64 `json:"usage,omitempty"`
	Peak  *int64 `json:"peak,omitempty"`
	Split Split  `json:"split,omitzero"`
	// Largest are the largest processes below that limit at the time, the largest first.
	Largest []Process `json:"largest,omitempty"`
	// Group: all processes of the cgroup were killed with it (memory.oom.group).
	Group bool `json:"group,omitempty"`
	// Invoker is the name of the process that asked for memory when there was none.
	Invoker string `json:"invoker,omitempty"`
	Victim  Victim `json:"victim,omitzero"`
	// Growth is how the container's memory grew before the kill; nil where that is not known, or it did not.
	Growth *Growth `json:"growth,omitempty"`
	// Request is the container's memory request, PodRequest that of its pod, at the time of the kill, in bytes; zero where there is none.
	Request    *int64 `json:"request,omitempty"`
	PodRequest *int64 `json:"podRequest,omitempty"`
	// PodUsage is what the pod was last seen to use, in bytes, where the limit was none of its own.
	PodUsage *int64 `json:"podUsage,omitempty"`
	// Pressure is that of the cgroup that hit its limit, or of the machine.
	Pressure *Pressure `json:"pressure,omitempty"`
	Source   Source    `json:"source"`
}

// PodName names a pod.
type PodName struct {
	UID       string `json:"uid,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Split is what a cgroup's memory, or the machine's, consisted of, in bytes. Parts overlap: Slab and PageTables are in Kernel
// where the kernel tells of Kernel, and Shmem is in neither Anon nor, as here, File.
type Split struct {
	Anon       *int64 `json:"anon,omitempty"`
	File       *int64 `json:"file,omitempty"`  // cached files, without Shmem
	Shmem      *int64 `json:"shmem,omitempty"` // tmpfs, memory that processes share
	Kernel     *int64 `json:"kernel,omitempty"`
	Slab       *int64 `json:"slab,omitempty"`
	Sockets    *int64 `json:"sockets,omitempty"`
	PageTables *int64 `json:"pageTables,omitempty"`
	Stacks     *int64 `json:"stacks,omitempty"` // the kernel's, of threads
	Swap       *int64 `json:"swap,omitempty"`   // swapped out
}

// Process is one of those that were there at the time of a kill.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	RSS  int64  `json:"rss"`            // bytes
	Swap int64  `json:"swap,omitempty"` // bytes
	// Score is its oom_score_adj.
	Score int `json:"score"`
}

// Victim is what the killed process had, in bytes.
type Victim struct {
	AnonRSS    int64 `json:"anonRSS"`
	FileRSS    int64 `json:"fileRSS"`
	ShmemRSS   int64 `json:"shmemRSS"`
	PageTables int64 `json:"pageTables,omitempty"`
	// Score is its oom_score_adj.
	Score int `json:"score"`
}

// RSS is what it had altogether.
func (v Victim) RSS() int64 { return v.AnonRSS + v.FileRSS + v.ShmemRSS }

// Growth is how memory grew.
type Growth struct {
	PerSecond int64 `json:"perSecond"` // bytes
	Seconds   int64 `json:"seconds"`   // for how long
	From      int64 `json:"from"`      // bytes
}

// Pressure is the share of the last ten seconds, in percent, in which some or all processes waited for memory (PSI).
type Pressure struct {
	Some float64 `json:"some"`
	Full float64 `json:"full"`
}
