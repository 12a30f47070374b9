package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/runner/reference"
)

// New is a pod that the manifests will name next, and of which nothing exists.
func New(host Host, clockOffset time.Duration, pod *v1.Pod, scanned bool) State {
	s := State{Version: Version, Pod: pod, ClockOffset: clockOffset}
	s.enliven(host, scanned)
	return s
}

// Orphan is a pod of which only its UID is known: what is left of it goes.
func Orphan(host Host, clockOffset time.Duration, uid string) State {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: "unknown", Namespace: "unknown"}}
	s := New(host, clockOffset, pod, true)
	s.Decided, s.Orphan, s.Dirty = true, true, true
	s.DeletedAt = time.Unix(1, 0)
	s.BootID = host.BootID
	s.Adoption.Containers = true
	return s
}

func (s *State) enliven(host Host, scanned bool) {
	s.Host, s.Scanned = host, scanned
	if s.Containers == nil {
		s.Containers = map[string]*Container{}
	}
	if s.Leftovers == nil {
		s.Leftovers = map[string]*Leftover{}
	}
	s.Images, s.Flights, s.Pauses = map[string]*Image{}, map[string]*Flight{}, map[string]Backoff{}
	s.Objects = reference.Select(s.Pod, reference.Objects{})
	s.Revisions = s.revisions()
	s.Shown = s.wantedContent()
}

// Encode is the pod's record.
func (s State) Encode() ([]byte, error) {
	if s.Applied == s.Pod {
		s.Applied = nil
	}
	return json.Marshal(&s)
}

// ErrVersion says that a record was written by a later version of Solopod.
var ErrVersion = errors.New("it was written by a later version of Solopod")

// Decode restores a state from its record, as it is found after a start: what exists in the world is to be found out.
func Decode(data []byte, uid string, host Host, scanned bool) (State, error) {
	s := State{}
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, err
	}
	switch {
	case s.Version > Version:
		return State{}, fmt.Errorf("%w (its form is %d, this one reads up to %d)", ErrVersion, s.Version, Version)
	case s.Pod == nil || string(s.Pod.UID) != uid:
		return State{}, errors.New("it does not name its pod")
	}
	for name, c := range s.Containers {
		if c == nil || c.Attempt < 0 {
			return State{}, fmt.Errorf("what it says of container %q makes no sense", name)
		}
		if c.Running && c.ID == "" {
			c.Running = false
		}
	}
	for id, l := range s.Leftovers {
		if l == nil {
			delete(s.Leftovers, id)
		}
	}
	s.Version = Version
	if s.SharedRevision != "" && s.Applied == nil {
		s.Applied = s.Pod
	}
	if s.SharedRevision == "" {
		s.Applied = nil
	}
	s.enliven(host, scanned)
	s.Adoption = Adoption{Sandbox: true, Containers: true}
	return s, nil
}
