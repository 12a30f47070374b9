package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/device"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/plan"
)

// record is what must outlive Solopod and cannot be learned from containerd. One file per pod holds it; it is written
// only when it changed, because flash wears.
type record struct {
	// Pod is the manifest that was applied last, defaulted; File is where it came from.
	Pod  *v1.Pod `json:"pod"`
	File string  `json:"file"`
	// SharedRevision is what the pod was set up for; empty when it is not set up.
	SharedRevision string `json:"sharedRevision,omitempty"`
	// BootID tells whether what the kernel holds (namespaces, mounts, addresses) is still there.
	BootID string `json:"bootID,omitempty"`
	// ClockOffset tells by which clock the times below are (clock.Offset), in nanoseconds.
	ClockOffset time.Duration `json:"clockOffset,omitempty"`
	StartTime   time.Time     `json:"startTime,omitzero"`
	// Devices are the CDI devices that the pod's containers have.
	Devices device.Assignment `json:"devices,omitempty"`
	// Initialized: since the set-up the init containers have done their work.
	Initialized bool `json:"initialized,omitempty"`
	// Content is what the pod's filled volumes show.
	Content string `json:"content,omitempty"`
	// Evictions counts how often the pod was evicted; it paces its new beginnings.
	Evictions int `json:"evictions,omitempty"`
	// Failed is set when the pod was failed as a whole.
	Failed *failure `json:"failed,omitempty"`
	// FirstID is the host's id of the pod's user and group 0, where these are not the host's.
	FirstID uint32 `json:"firstID,omitempty"`
	// SELinuxLevel is the pod's own, where SELinux confines it.
	SELinuxLevel string              `json:"seLinuxLevel,omitempty"`
	Network      *network.Attachment `json:"network,omitempty"`
	Conditions   []v1.PodCondition   `json:"conditions,omitempty"`
	// Containers by name.
	Containers map[string]*containerRecord `json:"containers,omitempty"`
}

// containerRecord is the history of one container.
type containerRecord struct {
	// ID is the current container in containerd; empty when there is none.
	ID string `json:"id,omitempty"`
	// Attempt counts from 0; it is the restart count and the log file's name.
	Attempt  int    `json:"attempt"`
	Revision string `json:"revision"`
	Running  bool   `json:"running,omitempty"`
	Pid      uint32 `json:"pid,omitempty"`
	// Terminal and Stdin say which FIFOs the container has.
	Terminal   bool `json:"terminal,omitempty"`
	Stdin      bool `json:"stdin,omitempty"`
	StopSignal int  `json:"stopSignal,omitempty"`
	// PreStop is the hook that the running container was started with; ports are numbers in it.
	PreStop *v1.LifecycleHandler `json:"preStop,omitempty"`
	// Hooked: the postStart hook has ended well, or there is none.
	Hooked bool `json:"hooked,omitempty"`
	// Resources is a hash of what can be changed while it runs.
	Resources string    `json:"resources,omitempty"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Started and Ready are what the startup and readiness probes said last; before the postStart hook has ended both are false.
	Started bool         `json:"started,omitempty"`
	Ready   bool         `json:"ready,omitempty"`
	Ended   *ending      `json:"ended,omitempty"`
	Last    *ending      `json:"last,omitempty"`
	Backoff plan.Backoff `json:"backoff,omitzero"`
	Image   string       `json:"image,omitempty"`
	ImageID string       `json:"imageID,omitempty"`
	// OOMKills counts the processes killed for memory in all attempts before the current one.
	OOMKills uint64 `json:"oomKills,omitempty"`
	// Replaced: the container was stopped for an edit, or with the machine; its end is not a failure.
	Replaced bool `json:"replaced,omitempty"`
}

// failure is why a pod failed as a whole, as the pod's status says it.
type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// Revive is when the pod begins anew; zero means not before an edit.
	Revive time.Time `json:"revive,omitzero"`
}

// ending is how one attempt ended.
type ending struct {
	ID         string    `json:"id"`
	ExitCode   int32     `json:"exitCode"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// FromLog: the message is still to be read from the log, when that is complete.
	FromLog bool `json:"fromLog,omitempty"`
}

func recordPath(root, uid string) string { return filepath.Join(root, "pods", uid, "pod.json") }

// saver writes one pod's record when it changed.
type saver struct {
	path string
	last []byte
	// reported: a failed write was logged; it is tried again with every change.
	reported bool
}

func (s *saver) save(r *record) {
	data, err := json.Marshal(r)
	if err == nil && bytes.Equal(data, s.last) {
		return
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.path), 0o711)
	}
	if err == nil {
		err = durable.WriteFile(s.path, data, 0o600)
	}
	if err != nil {
		if !s.reported {
			slog.Error("cannot write a pod's record; the pod runs on, its history may be lost with a restart", "file", s.path, "err", err)
		}
		s.reported = true
		return
	}
	s.last, s.reported = data, false
}

// note writes the record without waiting for the disk: enough for a crash of Solopod, while a power cut ends the
// containers as well. It keeps the synced write out of the way of a pod's start.
func (s *saver) note(r *record) {
	data, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.path), 0o711)
	}
	if err == nil {
		err = durable.Replace(s.path, data, 0o600)
	}
	if err != nil {
		slog.Warn("cannot write a pod's record", "file", s.path, "err", err)
	}
}

// readRecords loads all records. A damaged one is set aside, with a message, and its pod starts from its manifest.
func readRecords(root string) (map[string]*record, error) {
	matches, err := filepath.Glob(recordPath(root, "*"))
	if err != nil {
		return nil, err
	}
	out := map[string]*record{}
	for _, path := range matches {
		r, err := readRecord(path)
		if err != nil {
			aside := path + ".damaged"
			slog.Error("a pod's record is damaged and set aside; the pod starts from its manifest", "file", aside, "err", err)
			if err := os.Rename(path, aside); err != nil {
				return nil, fmt.Errorf("cannot set a damaged record aside: %w", err)
			}
			continue
		}
		out[string(r.Pod.UID)] = r
	}
	return out, nil
}

func readRecord(path string) (*record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.Pod == nil || string(r.Pod.UID) != filepath.Base(filepath.Dir(path)) {
		return nil, errors.New("it does not name its pod")
	}
	if r.Containers == nil {
		r.Containers = map[string]*containerRecord{}
	}
	return r, nil
}
