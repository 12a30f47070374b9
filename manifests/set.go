package manifests

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// States of a manifest file.
const (
	// StateActive: all pods of the file are desired.
	StateActive = "Active"
	// StateInvalid: the file cannot be used; the last good version of its pods, if there was one, stays desired.
	StateInvalid = "Invalid"
	// StateConflict: another file, first by name, defines a pod of the same name.
	StateConflict = "Conflict"
)

// File is what is known of one manifest file.
type File struct {
	Name string `json:"name"`
	// State is one of StateActive, StateInvalid and StateConflict.
	State string `json:"state"`
	// Pods names the pods that stand for this file, as namespace/name.
	Pods []string `json:"pods"`
	// Objects names what else stands for it, as configmap/namespace/name.
	Objects []string `json:"objects,omitempty"`
	// Problems holds errors and warnings.
	Problems Problems `json:"problems,omitempty"`
	// Since is when the file came into this state with these problems.
	Since time.Time `json:"since"`
}

// Desired is one pod that should run, and the file that says so.
type Desired struct {
	Pod  *v1.Pod
	File string
}

// Snapshot is the whole desired state at one moment.
type Snapshot struct {
	// Pods are the pods that should run, by UID.
	Pods map[string]Desired
	// ConfigMaps and Secrets, by namespace/name.
	ConfigMaps map[string]*v1.ConfigMap
	Secrets    map[string]*v1.Secret
	Claims     map[string]*v1.PersistentVolumeClaim
	Jobs       map[string]*batchv1.Job
	CronJobs   map[string]*batchv1.CronJob
	// Deployments and the like, by namespace/name. Pods has their pods as the manifests want them in the end.
	Deployments  map[string]*appsv1.Deployment
	ReplicaSets  map[string]*appsv1.ReplicaSet
	StatefulSets map[string]*appsv1.StatefulSet
	DaemonSets   map[string]*appsv1.DaemonSet
	// Services, EndpointSlices, NetworkPolicies and Namespaces, by namespace/name; a Namespace by its name alone. Endpoints are there as
	// EndpointSlices, if a Service without a selector has their name.
	Services        map[string]*v1.Service
	EndpointSlices  map[string]*discoveryv1.EndpointSlice
	NetworkPolicies map[string]*networkingv1.NetworkPolicy
	Namespaces      map[string]*v1.Namespace
	// Endpoints are those of the files, whether they stand for EndpointSlices or not.
	Endpoints map[string]*v1.Endpoints //nolint:staticcheck // deprecated, and much used
	// Files are all manifest files, by name.
	Files []File
	// FileOf tells where a Job or CronJob, as job/namespace/name, comes from, and so where Services and what belongs to them do.
	FileOf map[string]string
	// DirectoryError says why the directory as a whole cannot be used; the pods are then those of before.
	DirectoryError string
	// Unwatched says why changes of the directory are noticed late; empty when they are noticed at once.
	Unwatched string
}

// Set turns the contents of files into a Snapshot. It keeps the last good version of each file's pods. It does no I/O.
type Set struct {
	files          map[string]*fileState
	directoryError string
}

type fileState struct {
	contents Contents // the last good version
	problems Problems
	invalid  bool
	// waiting says why a newer version is not read yet; unread, that none was.
	waiting string
	unread  bool
	since   time.Time
	// reported is what the last snapshot said, so that since changes only with it.
	reported string
}

// NewSet starts from the pods that an earlier run of Solopod applied, so that a file that has become bad meanwhile
// does not take its pods down. Pods whose file is gone are forgotten with the first Update.
func NewSet(known []Desired) *Set {
	s := &Set{files: map[string]*fileState{}}
	for _, d := range known {
		f := s.files[d.File]
		if f == nil {
			f = &fileState{}
			s.files[d.File] = f
		}
		f.contents.Pods = append(f.contents.Pods, d.Pod)
	}
	return s
}

// Recall takes what files have said of Services and networks in an earlier run (Snapshot.Served), so that it stays where a file has become
// bad meanwhile. It is called before the first Put.
func (s *Set) Recall(said map[string]Contents) {
	for name, c := range said {
		f := s.files[name]
		if f == nil {
			f = &fileState{}
			s.files[name] = f
		}
		f.contents.Services, f.contents.Endpoints, f.contents.EndpointSlices = c.Services, c.Endpoints, c.EndpointSlices
		f.contents.NetworkPolicies, f.contents.Namespaces = c.NetworkPolicies, c.Namespaces
	}
}

// Put takes a file's decoded contents.
func (s *Set) Put(name string, contents Contents, problems Problems, now time.Time) {
	f := s.files[name]
	if f == nil {
		f = &fileState{since: now}
		s.files[name] = f
	}
	if len(problems.Errors()) == 0 {
		problems = append(problems, changedImmutable(name, f.contents, contents)...)
	}
	f.problems, f.unread = problems, false
	f.invalid = len(problems.Errors()) > 0
	if !f.invalid {
		f.contents = contents
	}
}

// Drop forgets a file that has been deleted.
func (s *Set) Drop(name string) { delete(s.files, name) }

// Await says which files have changed and cannot be read yet, and why. What was read of them before stays.
func (s *Set) Await(waiting map[string]string, now time.Time) {
	for name := range waiting {
		if s.files[name] == nil {
			s.files[name] = &fileState{since: now, unread: true}
		}
	}
	for name, f := range s.files {
		f.waiting = waiting[name]
	}
}

// SetDirectoryError says that the directory cannot be used ("" that it can).
func (s *Set) SetDirectoryError(message string) { s.directoryError = message }

// Snapshot computes the desired state. Of two files that define the same object the first by name wins.
func (s *Set) Snapshot(now time.Time) Snapshot {
	out := Snapshot{
		Pods: map[string]Desired{}, ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{},
		Claims: map[string]*v1.PersistentVolumeClaim{}, Jobs: map[string]*batchv1.Job{}, CronJobs: map[string]*batchv1.CronJob{},
		Services: map[string]*v1.Service{}, EndpointSlices: map[string]*discoveryv1.EndpointSlice{},
		Endpoints:       map[string]*v1.Endpoints{}, //nolint:staticcheck // deprecated, and much used
		NetworkPolicies: map[string]*networkingv1.NetworkPolicy{}, Namespaces: map[string]*v1.Namespace{},
		Deployments: map[string]*appsv1.Deployment{}, ReplicaSets: map[string]*appsv1.ReplicaSet{},
		StatefulSets: map[string]*appsv1.StatefulSet{}, DaemonSets: map[string]*appsv1.DaemonSet{},
		FileOf:         map[string]string{},
		DirectoryError: s.directoryError,
	}
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[name]
		file := File{Name: name, State: StateActive, Pods: []string{}, Problems: slices.Clone(f.problems)}
		if f.waiting != "" {
			file.Problems = append(file.Problems, Problem{File: name, Message: f.waiting, Warning: !f.unread})
		}
		if f.invalid || f.unread {
			file.State = StateInvalid
		}
		for _, c := range f.contents.ConfigMaps {
			if file.claim(owner, "configmap", c) {
				out.ConfigMaps[c.Namespace+"/"+c.Name] = c
			}
		}
		for _, c := range f.contents.Secrets {
			if file.claim(owner, "secret", c) {
				out.Secrets[c.Namespace+"/"+c.Name] = c
			}
		}
		for _, c := range f.contents.Claims {
			if file.claim(owner, "persistentvolumeclaim", c) {
				out.Claims[c.Namespace+"/"+c.Name] = c
			}
		}
		for _, j := range f.contents.Jobs {
			if file.claim(owner, "job", j) {
				out.Jobs[j.Namespace+"/"+j.Name], out.FileOf["job/"+j.Namespace+"/"+j.Name] = j, name
			}
		}
		for _, c := range f.contents.CronJobs {
			if file.claim(owner, "cronjob", c) {
				out.CronJobs[c.Namespace+"/"+c.Name], out.FileOf["cronjob/"+c.Namespace+"/"+c.Name] = c, name
			}
		}
		file.claimServed(owner, &f.contents, &out)
		lost := file.claimOwners(owner, &f.contents, &out)
		for _, pod := range f.contents.Pods {
			key := Key(pod)
			if lost[ownerKey(pod)] {
				continue // another file has what it belongs to, and its pods
			}
			if other, taken := owner[key]; taken {
				file.State = StateConflict
				file.Problems = append(file.Problems, Problem{File: name, Path: "metadata.name", Message: fmt.Sprintf(
					"pod %s is already defined by %s, which comes first by name; remove or rename one of them", key, other)})
				continue
			}
			if other, taken := out.Pods[string(pod.UID)]; taken {
				file.State = StateConflict
				file.Problems = append(file.Problems, Problem{File: name, Path: "metadata.uid", Message: fmt.Sprintf(
					"uid %s already belongs to pod %s of %s; remove metadata.uid", pod.UID, Key(other.Pod), other.File)})
				continue
			}
			owner[key] = name
			out.Pods[string(pod.UID)] = Desired{pod, name}
			file.Pods = append(file.Pods, key)
		}
		out.Files = append(out.Files, file)
	}
	out.relate()
	for i := range out.Files {
		file := &out.Files[i]
		f := s.files[file.Name]
		if said := file.State + file.Problems.Error(); said != f.reported || f.since.IsZero() {
			f.reported, f.since = said, now
		}
		file.Since = f.since
	}
	return out
}

// claim notes an object of the file, unless another file has it.
func (f *File) claim(owner map[string]string, kind string, object metav1.Object) bool {
	key := ObjectName(kind, object)
	if other, taken := owner[key]; taken {
		f.State = StateConflict
		f.Problems = append(f.Problems, Problem{File: f.Name, Path: "metadata.name", Message: fmt.Sprintf(
			"%s is already defined by %s, which comes first by name; remove or rename one of them", key, other)})
		return false
	}
	owner[key] = f.Name
	f.Objects = append(f.Objects, key)
	return true
}
