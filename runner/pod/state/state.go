package state

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/reference"
)

// State is what is known of one pod. It is a value: Step copies what it changes, and nobody else changes anything. The
// pods and objects that it points to are shared and must not be changed.
//
// The fields with names in JSON are the pod's record: what must outlive Solopod and cannot be learned from containerd.
type State struct {
	// Version is that of the record's form.
	Version int `json:"version"`
	// Pod is the latest version that the manifests asked for, defaulted; File is where it came from. They stay when the
	// manifests no longer ask for the pod.
	Pod  *v1.Pod `json:"pod"`
	File string  `json:"file"`
	// Applied is the pod as its sandbox and its containers were made; nil means like Pod.
	Applied *v1.Pod `json:"applied,omitempty"`
	// SharedRevision is what the sandbox was made for; empty when nothing of it exists.
	SharedRevision string `json:"sharedRevision,omitempty"`
	// BootID tells whether what the kernel holds (namespaces, mounts, addresses) is still there.
	BootID string `json:"bootID,omitempty"`
	// EditWaits: the manifest says something else than Pod, which waits (Coming).
	EditWaits bool `json:"editWaits,omitempty"`
	// ClockOffset tells by which clock the times below are (clock.Offset), in nanoseconds.
	ClockOffset time.Duration `json:"clockOffset,omitempty"`
	StartTime   time.Time     `json:"startTime,omitzero"`
	// Generation counts the edits of the pod's spec; zero stands for the first version. SeenAt is when the manifest came to say what it
	// says now.
	Generation int64     `json:"generation,omitempty"`
	SeenAt     time.Time `json:"seenAt,omitzero"`
	// DeletedAt is when the manifests stopped asking for the pod; zero while they do.
	DeletedAt time.Time `json:"deletedAt,omitzero"`
	Grant
	// Initialized: since the set-up the init containers have done their work.
	Initialized bool `json:"initialized,omitempty"`
	// Content is what the pod's filled volumes show.
	Content string `json:"content,omitempty"`
	// VolumeImages are the images that the pod's volumes show, with their digests, by volume.
	VolumeImages map[string]string `json:"volumeImages,omitempty"`
	// Evictions counts how often the pod was evicted; it paces its new beginnings.
	Evictions int `json:"evictions,omitempty"`
	// OOMEnds are the times of the last kills for memory, where the pod is to be stopped after some of them.
	OOMEnds []time.Time `json:"oomEnds,omitempty"`
	// Failed is set when the pod was failed as a whole.
	Failed     *Failure          `json:"failed,omitempty"`
	Network    *Attachment       `json:"network,omitempty"`
	Conditions []v1.PodCondition `json:"conditions,omitempty"`
	// Containers by name.
	Containers map[string]*Container `json:"containers,omitempty"`
	// Leftovers are containers whose clean-up is due, by their id.
	Leftovers map[string]*Leftover `json:"leftovers,omitempty"`

	Live `json:"-"`
}

// Version of the record's form that is written; those up to it are read.
const Version = 1

// Grant is what the pod has that no other can have at the same time.
type Grant struct {
	// Devices are the CDI devices that the pod's containers have, by container.
	Devices map[string][]string `json:"devices,omitempty"`
	// FirstID is the host's id of the pod's user and group 0, where these are not the host's.
	FirstID uint32 `json:"firstID,omitempty"`
	// SELinuxLevel is the pod's own, where SELinux confines it.
	SELinuxLevel string `json:"seLinuxLevel,omitempty"`
}

// Attachment is the pod's place in the network.
type Attachment struct {
	IPs []string `json:"ips"`
	// ByCNI: the node's CNI configuration made it.
	ByCNI bool `json:"byCNI,omitempty"`
	// Ports are those that Solopod itself forwards.
	Ports []Port `json:"ports,omitempty"`
}

// Port is a port of the host that leads to the pod.
type Port struct {
	HostPort      int32  `json:"hostPort"`
	ContainerPort int32  `json:"containerPort"`
	Protocol      string `json:"protocol"` // TCP, UDP or SCTP
	HostIP        string `json:"hostIP,omitempty"`
}

// Failure is why a pod failed as a whole, as the pod's status says it.
type Failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Revive is when the pod begins anew; zero means not before an edit.
	Revive time.Time `json:"revive,omitzero"`
	// Signal is what the machine was short of when the pod was evicted for that, as memory.available; empty: it was not. At is when.
	Signal string    `json:"signal,omitempty"`
	At     time.Time `json:"at,omitzero"`
	// Held: the pod begins anew once it is readmitted, or edited.
	Held bool `json:"held,omitempty"`
	// Grace bounds the pod's grace period; nil means that it is the pod's own.
	Grace *time.Duration `json:"grace,omitempty"`
}

// Discards says whether the pod gives back what it has on the disk while it is failed: others need the room.
func (f *Failure) Discards() bool { return f != nil && f.Signal != "" && f.Revive.IsZero() }

// Live is what is known only while this Solopod runs.
type Live struct {
	Host Host
	// UnclearUntil: a list of what exists that was asked for before does not count, if the state was restored.
	UnclearUntil time.Time
	// Decided: the manifests have spoken since the start.
	Decided bool
	// Orphan: nobody knows whose pod this was; what is left of it goes.
	Orphan bool
	// Adoption says what must still be found out after a restart before anything is done.
	Adoption Adoption
	// SetUp: the sandbox is complete; Dirty: something of it may exist that must be cleared before a set-up.
	SetUp bool
	Dirty bool
	// GrantedFor is the shared revision for which Grant holds, and the pod's host ports are its own; empty: they are not.
	GrantedFor string
	// Retry paces set-ups that failed, ClearRetry tear-downs. LacksClaim: another pod had what the set-up wanted.
	Retry, ClearRetry Backoff
	LacksClaim        bool
	// NoRoom is the kubelet's reason for a pod whose requests do not fit on the machine, which waits for room; empty for others.
	NoRoom string
	// Message says why the pod is not set up.
	Message string
	// Limits identifies the limits that the pod's cgroup has.
	Limits string
	// Resized is what of the pod as a whole can change in place, as it was given to the kernel.
	Resized string
	// Objects are the ConfigMaps and Secrets that the pod refers to.
	Objects reference.Objects
	// Shown is what the volumes should show; it is Content when they do.
	Shown string
	// Revisions of Pod.
	Revisions Revisions
	// Coming is an edit of Pod that waits; nil when none does.
	Coming *Coming
	// Eviction is one that was asked for, and on which nobody has decided yet.
	Eviction *Evicted
	// EndBy is when the grace period of the pod's end, which has begun, is over.
	EndBy time.Time
	// StopBy is when the pod must have ended because the machine goes down.
	StopBy time.Time
	// StartSince is when the pod should have begun to run: when its manifest came or changed; zero once it runs.
	StartSince time.Time
	// Resolver identifies the machine's resolver configuration of which the pod's was made.
	Resolver string
	// MeasureAt is when the disk that the pod uses is measured next.
	MeasureAt time.Time
	// Unmeasured: it was said that it cannot be measured.
	Unmeasured bool
	// Images that are known to be missing, by the reference in the manifest.
	Images map[string]*Image
	// Scanned: the archives that lay in the images directory at the start have been read.
	Scanned bool
	// Flights are the effects that run, by thing.
	Flights map[string]*Flight
	// Pauses keep effects from being started again that ended in a way that nobody foresaw, by thing.
	Pauses map[string]Backoff
	// Noted is the last step whose record a crash of Solopod leaves, Saved the last one that a power cut leaves.
	Noted, Saved uint64
	// Unsaved: it was said that the record cannot be written.
	Unsaved bool
	// AttachedAt is the step with which the pod got its network: no container starts before that is noted.
	AttachedAt uint64
	// Steps counts the steps.
	Steps uint64
	// Reports are what this step has to tell.
	Reports []Report
}

// Coming is an edit that waits until what it needs is there: until then the pod stays what it was, and runs on. Nobody may change it.
type Coming struct {
	Pod     *v1.Pod
	File    string
	Objects reference.Objects
	// Key identifies what is asked for; Sure: what it needs is there.
	Key  string
	Sure bool
	// Stuck: it lacks something that no other pod's edit gives it: an image, an object.
	Stuck bool
	// Retry paces looks that found something missing; Message says what, as it was told.
	Retry   Backoff
	Message string
}

// Host is what a pod's rules need to know of the machine and the daemon. Only HostChanged changes it.
type Host struct {
	Node     string
	BootID   string
	Capacity v1.ResourceList
	// IPs are the machine's addresses, one of a family, the first is the one that counts; none while it has none.
	IPs []string
	// Resolver identifies the machine's resolver configuration, of which pods' are made.
	Resolver string
	// RevisionKey is this daemon's own: what identifies values of Secrets is of no use to who does not have it.
	RevisionKey string
}

// IP is the machine's address; empty while it has none.
func (h *Host) IP() string {
	if len(h.IPs) == 0 {
		return ""
	}
	return h.IPs[0]
}

// Adoption says what is still unknown after a start.
type Adoption struct {
	// Sandbox: what is left of it is to be found; Containers: containerd's list is to come.
	Sandbox, Containers bool
}

// Image is one that a pod lacks.
type Image struct {
	// AwaitsScan: it may be among the archives that are still being imported after the start.
	AwaitsScan bool
	// Policy of the first who asked for it.
	Policy          v1.PullPolicy
	Retry           Backoff
	Reason, Message string
	// BacksOff: its next pull has been waiting for a while.
	BacksOff bool
}

// Flight is an effect that runs.
type Flight struct {
	Kind string
	// Name is the container or the image that it works on; ID is a container's id. Both may be empty.
	Name, ID string
	// Key identifies what it does; the same thing with another key is another effect.
	Key string
	// Token tells it from earlier effects on the same thing.
	Token uint64
	Began time.Time
	// Deadline is when its context ends; zero means never.
	Deadline time.Time
	// Cancelled is when it was told to end; zero while it was not.
	Cancelled time.Time
	// Left: it did not heed that, and is left behind.
	Left bool
	// Void: its result does not count.
	Void bool
}

// Leftover is a container that is to be deleted.
type Leftover struct {
	Name    string `json:"name"`
	Attempt int    `json:"attempt"`
	// Drain: it has run, and its last output goes into the log first. FromLog: the log's end becomes its message.
	Drain   bool `json:"drain,omitempty"`
	FromLog bool `json:"fromLog,omitempty"`
	// Terminal and Stdin say which FIFOs it has.
	Terminal bool `json:"terminal,omitempty"`
	Stdin    bool `json:"stdin,omitempty"`
	// Kill: its process may run, and nobody wants it.
	Kill bool `json:"kill,omitempty"`

	// Step is the step that made it a leftover: how it ended must be on the disk before it goes.
	Step  uint64  `json:"-"`
	Retry Backoff `json:"-"`
	// Void: it is of an effect whose result did not count.
	Void bool `json:"void,omitempty"`
	// Told: its failure was reported.
	Told bool `json:"-"`
}

// Report is something that happened, for the events of the pod.
type Report struct {
	// Container is a name, or empty for the pod as a whole.
	Container string
	Warning   bool
	Reason    string
	Message   string
	// Took is how long it took, where that is measured.
	Took time.Duration
	// Count is how many of it there were, where that is counted.
	Count int
	// Signal is what the machine is short of, of a pod that is evicted for that.
	Signal string
}

// MeasureInterval is the kubelet's (eviction manager, monitoring interval). The kernel has no event for the size of a
// directory, so pods that limit theirs are measured; the others are not.
const MeasureInterval = 10 * time.Second
