package manifests

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Origin is where a version of a manifest file comes from.
type Origin struct {
	// UID is the file's owner.
	UID uint32
	// Mode are the bits of its permissions.
	Mode     uint32
	Modified time.Time
	// Signer is who has signed it; empty where no signature is demanded.
	Signer string
}

// Change is what a version of a file, or its removal, has changed in what should run.
type Change struct {
	File string
	// Origin is nil when the file is gone or could not be opened.
	Origin *Origin
	// Refused says why the version is not used, without what the file holds; empty when it is.
	Refused string
	// Gone: the file was removed.
	Gone bool
	// AtStart: it was found by the first look, and may be older.
	AtStart bool
	// Added, Edited and Removed name pods as namespace/name, and other objects as configmap/namespace/name, sorted.
	Added, Edited, Removed []string
}

// Empty says whether nothing has changed.
func (c *Change) Empty() bool {
	return c.Refused == "" && !c.Gone && len(c.Added)+len(c.Edited)+len(c.Removed) == 0
}

// Changes compares what two snapshots want, file by file; the files' own fields are left to the caller. Pods that Jobs have made do not
// count: no file names them.
func Changes(before, after *Snapshot) map[string]Change {
	out := map[string]Change{}
	old, now := before.things(), after.things()
	for file := range now {
		if old[file] == nil {
			old[file] = map[string]any{}
		}
	}
	for file, things := range old {
		c := Change{File: file}
		for name, thing := range things {
			switch later, still := now[file][name]; {
			case !still:
				c.Removed = append(c.Removed, name)
			case thing != unread && later != thing && !same(later, unasked(thing, later)):
				c.Edited = append(c.Edited, name)
			}
		}
		for name := range now[file] {
			if _, known := things[name]; !known {
				c.Added = append(c.Added, name)
			}
		}
		for _, list := range [][]string{c.Added, c.Edited, c.Removed} {
			slices.Sort(list)
		}
		if !c.Empty() {
			out[file] = c
		}
	}
	return out
}

// unasked is a pod as its file had it, when its pods were asked to begin anew meanwhile (RestartedAnnotation), which no file says.
func unasked(before, later any) any {
	was, ok := before.(*v1.Pod)
	is, both := later.(*v1.Pod)
	if !ok || !both || was.Annotations[OwnerAnnotation] == "" || was.Annotations[RestartedAnnotation] == "" {
		return before
	}
	was = was.DeepCopy()
	delete(was.Annotations, RestartedAnnotation)
	if at := is.Annotations[RestartedAnnotation]; at != "" {
		was.Annotations[RestartedAnnotation] = at
	}
	return was
}

// unread is an object that an earlier run has had, and of which it has left the pods alone.
var unread = new(struct{ string })

// things are the objects of each file, by name. They are pointers, which stay the same as long as the file does. Pods that are there only
// while others are replaced do not count: no file names them.
func (s *Snapshot) things() map[string]map[string]any {
	pods := map[string]*v1.Pod{}
	for _, d := range s.Pods {
		if _, _, _, ofJob := JobOfPod(d.Pod); !ofJob && d.Pod.Annotations[SurgeAnnotation] == "" {
			pods[Key(d.Pod)] = d.Pod
		}
	}
	out := map[string]map[string]any{}
	for _, f := range s.Files {
		things := map[string]any{}
		for _, name := range f.Pods {
			pod, ok := pods[name]
			if !ok {
				continue
			}
			things[name] = pod
			if owner := ownerKey(pod); owner != "" && s.object(owner) == nil {
				things[owner] = unread
			}
		}
		for _, name := range f.Objects {
			if object := s.object(name); object != nil {
				things[name] = object
			}
		}
		out[f.Name] = things
	}
	return out
}

// object finds what File.Objects names.
func (s *Snapshot) object(name string) any {
	kind, key, _ := strings.Cut(name, "/")
	var found any
	var ok bool
	switch kind {
	case "configmap":
		found, ok = s.ConfigMaps[key]
	case "secret":
		found, ok = s.Secrets[key]
	case "persistentvolumeclaim":
		found, ok = s.Claims[key]
	case "job":
		found, ok = s.Jobs[key]
	case "cronjob":
		found, ok = s.CronJobs[key]
	case "service":
		found, ok = s.Services[key]
	case "endpoints":
		found, ok = s.Endpoints[key]
	case "endpointslice":
		found, ok = s.EndpointSlices[key]
	case "networkpolicy":
		found, ok = s.NetworkPolicies[key]
	case "namespace":
		found, ok = s.Namespaces[key]
	case "deployment":
		found, ok = s.Deployments[key]
	case "replicaset":
		found, ok = s.ReplicaSets[key]
	case "statefulset":
		found, ok = s.StatefulSets[key]
	case "daemonset":
		found, ok = s.DaemonSets[key]
	}
	if !ok {
		return nil
	}
	return found
}
