// Package difference compares objects that shall run with those of other files: what an edit would change, and what of a pod would begin
// anew.
package difference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/api/desired"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// Difference is what differs of one object.
type Difference struct {
	Kind, Namespace, Name string
	// Text are the lines that differ, as diff -u writes them.
	Text string
	// Effects say what of pods begins, ends, or begins anew; each is a sentence.
	Effects []string
}

// Title names the object, as deployment/web; beyond the usual namespace with that.
func (d *Difference) Title() string {
	title := strings.ToLower(d.Kind) + "/" + d.Name
	if d.Namespace != "" && d.Namespace != metav1.NamespaceDefault {
		title += " (" + d.Namespace + ")"
	}
	return title
}

// Of compares what shall run with what files want, both with digests of Secrets' values by the same salt. What only runs does not
// differ, unless all shall count: files that are meant to be the whole directory.
func Of(runs, wanted desired.Objects, all bool) ([]Difference, error) {
	before, err := objectsOf(&runs)
	if err != nil {
		return nil, err
	}
	after, err := objectsOf(&wanted)
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(after))
	for name := range before {
		if _, both := after[name]; all && !both {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b identity) int { return strings.Compare(a.key(), b.key()) })
	var out []Difference
	for _, name := range names {
		is, want := before[name], after[name]
		if name.kind == "Secret" {
			is.content, want.content = hidden(is.content, want.content)
		}
		from, err := is.text()
		if err != nil {
			return nil, err
		}
		to, err := want.text()
		if err != nil {
			return nil, err
		}
		text, waits := Unified(from, to), waiting(runs.Waiting, want.pods)
		switch {
		case text != "":
			out = append(out, Difference{name.kind, name.namespace, name.name, text, append(effects(is.pods, want.pods), waits...)})
		case len(waits) > 0:
			out = append(out, Difference{name.kind, name.namespace, name.name, "", waits})
		}
	}
	return out, nil
}

// waiting says which pods have been told to be like this, and wait for what they need.
func waiting(of []desired.Waiting, pods map[string]*v1.Pod) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		for _, w := range of {
			if w.UID != pods[name].UID || w.Manifest != state.ManifestRevision(pods[name]) {
				continue
			}
			why := w.Lacks
			if why == "" {
				why = "it is being found out what it lacks"
			}
			out = append(out, fmt.Sprintf("the edit of pod %s waits, and what runs goes on: %s", name, why))
		}
	}
	return out
}

// identity tells objects apart.
type identity struct{ kind, namespace, name string }

func (i identity) key() string { return i.kind + "/" + i.namespace + "/" + i.name }

// object is one with the pods that stand for it, by name; a zero one is none.
type object struct {
	content map[string]any
	pods    map[string]*v1.Pod
}

func (o object) text() (string, error) {
	if o.content == nil {
		return "", nil
	}
	text, err := yaml.Marshal(o.content)
	return string(text), err
}

// objectsOf are all objects, those pods apart that stand for another one.
func objectsOf(o *desired.Objects) (map[identity]object, error) {
	out := map[identity]object{}
	var failed error
	add := func(kind, version string, meta *metav1.ObjectMeta, of any) {
		content, err := contentOf(kind, version, of)
		if err != nil {
			failed = fmt.Errorf("%s %s/%s: %w", kind, meta.Namespace, meta.Name, err)
		}
		out[identity{kind, meta.Namespace, meta.Name}] = object{content, map[string]*v1.Pod{}}
	}
	each(o.Deployments, "Deployment", "apps/v1", add)
	each(o.ReplicaSets, "ReplicaSet", "apps/v1", add)
	each(o.StatefulSets, "StatefulSet", "apps/v1", add)
	each(o.DaemonSets, "DaemonSet", "apps/v1", add)
	each(o.Jobs, "Job", "batch/v1", add)
	each(o.CronJobs, "CronJob", "batch/v1", add)
	each(o.ConfigMaps, "ConfigMap", "v1", add)
	each(o.Secrets, "Secret", "v1", add)
	each(o.Claims, "PersistentVolumeClaim", "v1", add)
	each(o.Services, "Service", "v1", add)
	each(o.EndpointSlices, "EndpointSlice", "discovery.k8s.io/v1", add)
	each(o.NetworkPolicies, "NetworkPolicy", "networking.k8s.io/v1", add)
	each(o.Namespaces, "Namespace", "v1", add)
	for _, p := range o.Pods {
		owner := metav1.GetControllerOfNoCopy(p)
		if owner == nil || p.Annotations[manifests.OwnerAnnotation] == "" {
			add("Pod", "v1", &p.ObjectMeta, p)
			out[identity{"Pod", p.Namespace, p.Name}].pods[p.Name] = p
		} else if of, ok := out[identity{owner.Kind, p.Namespace, owner.Name}]; ok {
			of.pods[p.Name] = p
		}
	}
	return out, failed
}

// each adds the objects of one kind.
func each[T interface {
	metav1.Object
	runtime.Object
}](list []T, kind, version string, add func(kind, version string, meta *metav1.ObjectMeta, of any)) {
	for _, o := range list {
		add(kind, version, &metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}, o)
	}
}

// contentOf is an object as a manifest would have it, with its defaults, and without what nobody has written.
func contentOf(kind, version string, of any) (map[string]any, error) {
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	out["kind"], out["apiVersion"] = kind, version
	delete(out, "status")
	if meta, ok := out["metadata"].(map[string]any); ok {
		for _, key := range []string{"creationTimestamp", "generation", "resourceVersion", "managedFields", "selfLink"} {
			delete(meta, key)
		}
		namespace, _ := meta["namespace"].(string)
		name, _ := meta["name"].(string)
		if meta["uid"] == string(manifests.DeriveUID(namespace, name)) {
			delete(meta, "uid")
		}
		if notes, ok := meta["annotations"].(map[string]any); ok {
			if delete(notes, v1.LastAppliedConfigAnnotation); len(notes) == 0 {
				delete(meta, "annotations")
			}
		}
	}
	return out, nil
}

// hidden are two versions of a Secret in which values only say whether they differ, as by kubectl.
func hidden(before, after map[string]any) (map[string]any, map[string]any) {
	was, _ := before["data"].(map[string]any)
	is, _ := after["data"].(map[string]any)
	shown := func(of map[string]any, data, other map[string]any, word string) map[string]any {
		if of == nil {
			return nil
		}
		out := maps.Clone(of)
		values := map[string]any{}
		for key, value := range data {
			values[key] = "***"
			if others, both := other[key]; both && others != value {
				values[key] = "*** (" + word + ")"
			}
		}
		if len(values) > 0 {
			out["data"] = values
		}
		return out
	}
	return shown(before, was, is, "before"), shown(after, is, was, "after")
}

// effects say what becomes of an object's pods.
func effects(before, after map[string]*v1.Pod) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		from, to := before[name], after[name]
		if from == nil {
			out = append(out, fmt.Sprintf("pod %s begins", name))
			continue
		}
		if from.UID != to.UID {
			out = append(out, fmt.Sprintf("pod %s ends, and another one begins", name))
			continue
		}
		switch whole, containers := state.Replaced(from, to); {
		case whole:
			out = append(out, fmt.Sprintf("pod %s begins anew", name))
		case len(containers) == 1:
			out = append(out, fmt.Sprintf("container %s of pod %s begins anew", containers[0], name))
		case len(containers) > 0:
			out = append(out, fmt.Sprintf("containers %s of pod %s begin anew", strings.Join(containers, ", "), name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] == nil {
			out = append(out, fmt.Sprintf("pod %s ends", name))
		}
	}
	if len(out) == 0 && len(after) > 0 {
		out = append(out, "no container begins anew")
	}
	return out
}
