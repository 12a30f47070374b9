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

// Orphan is a pod of which only its UID is known: what is left of it goes, once the manifests have been read and do not name it.
func Orphan(host Host, clockOffset time.Duration, uid string) State {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Name: "unknown", Namespace: "unknown"}}
	s := New(host, clockOffset, pod, true)
	s.Orphan, s.Dirty = true, true
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
	s.Revisions = s.Revise()
	s.Shown = s.WantedContent()
}

// Encode is the pod's record.
func (s State) Encode() ([]byte, error) { return new(Encoder).Encode(s) }

// Encoder encodes the records of one pod's states. It remembers the pods' own forms, which are most of a record and seldom
// change.
type Encoder struct {
	pod, applied encoded
}

type encoded struct {
	pod  *v1.Pod
	json []byte
}

func (e *encoded) of(pod *v1.Pod) ([]byte, error) {
	if e.pod == pod && e.json != nil {
		return e.json, nil
	}
	data, err := json.Marshal(pod)
	if err == nil {
		e.pod, e.json = pod, data
	}
	return data, err
}

// Encode is the record of s.
func (e *Encoder) Encode(s State) ([]byte, error) {
	pod, err := e.pod.of(s.Pod)
	if err != nil {
		return nil, err
	}
	applied := []byte(nil)
	if s.Applied != nil && s.Applied != s.Pod {
		if applied, err = e.applied.of(s.Applied); err != nil {
			return nil, err
		}
	}
	head, err := json.Marshal(struct {
		Version int    `json:"version"`
		File    string `json:"file"`
	}{s.Version, s.File})
	if err != nil {
		return nil, err
	}
	rest, err := encodeRest(&s)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(head)+len(pod)+len(applied)+len(rest)+32)
	out = append(append(append(out, head[:len(head)-1]...), `,"pod":`...), pod...)
	if applied != nil {
		out = append(append(out, `,"applied":`...), applied...)
	}
	if len(rest) > len("{}") {
		out = append(out, ',')
	}
	return append(out, rest[1:]...), nil
}

// ErrVersion says that a record was written by a later version of Solopod.
var ErrVersion = errors.New("it was written by a later version of Solopod")

// Decode restores a state from its record, as it is found after a start: what exists in the world is to be found out.
func Decode(data []byte, uid string, host Host, scanned bool) (s State, err error) {
	defer func() {
		if p := recover(); p != nil { // its pod lacks what every pod has
			s, err = State{}, fmt.Errorf("it makes no sense: %v", p)
		}
	}()
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
		c.Now.Kills = c.Kills
	}
	for id, l := range s.Leftovers {
		if l == nil {
			delete(s.Leftovers, id)
		}
	}
	s.completeFormer()
	s.Version = Version
	if s.SharedRevision != "" && s.Applied == nil {
		s.Applied = s.Pod
	}
	if s.SharedRevision == "" {
		s.Applied = nil
	}
	s.enliven(host, scanned)
	if s.BootID != host.BootID { // nothing that ran has lived on, and nobody is to be sent to it until that is written down
		for _, c := range s.Containers {
			c.Ready = false
		}
	}
	s.Adoption = Adoption{Sandbox: true, Containers: true}
	return s, nil
}

// completeFormer fills in what a record does not say that was written before SeenAt was kept: which containers have begun since the
// set-up. All that have run did: the hooks of others did not hold them back, and must not keep them down now.
func (s *State) completeFormer() {
	if !s.SeenAt.IsZero() {
		return
	}
	for _, c := range s.Containers {
		c.Begun = c.Begun || c.Running || c.Ended != nil
	}
}

// encodeRest encodes what a record has beside its head and its pods.
func encodeRest(s *State) ([]byte, error) {
	type plain State
	return json.Marshal(struct {
		*plain
		Version omitted `json:"version,omitempty"`
		Pod     omitted `json:"pod,omitempty"`
		File    omitted `json:"file,omitempty"`
		Applied omitted `json:"applied,omitempty"`
	}{plain: (*plain)(s)})
}

// omitted hides a field of an embedded struct.
type omitted *struct{}
