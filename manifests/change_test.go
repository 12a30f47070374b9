package manifests

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What changes between two snapshots is told of the file that says it, by name, also when it moves between files.
func TestChanges(t *testing.T) {
	pod := func(name, image string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: types.UID(name)}, Spec: v1.PodSpec{Containers: []v1.Container{{Image: image}}}}
	}
	a, b := pod("a", "1"), pod("b", "1")
	secret := func(value string) *v1.Secret {
		return &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "s"}, Data: map[string][]byte{"k": []byte(value)}}
	}
	snapshot := func(files map[string][]metav1.Object) *Snapshot {
		s := &Snapshot{Pods: map[string]Desired{}, Secrets: map[string]*v1.Secret{}, Jobs: map[string]*batchv1.Job{}}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f := File{Name: name}
			for _, o := range files[name] {
				key := o.GetNamespace() + "/" + o.GetName()
				switch o := o.(type) {
				case *v1.Pod:
					s.Pods[string(o.UID)] = Desired{o, name}
					f.Pods = append(f.Pods, key)
				case *v1.Secret:
					s.Secrets[key] = o
					f.Objects = append(f.Objects, "secret/"+key)
				case *batchv1.Job:
					s.Jobs[key] = o
					f.Objects = append(f.Objects, "job/"+key)
				}
			}
			s.Files = append(s.Files, f)
		}
		return s
	}
	type files = map[string][]metav1.Object
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "j"}}
	for name, c := range map[string]struct {
		before, after files
		want          string
	}{
		"nothing":        {files{"x": {a}}, files{"x": {a}}, ""},
		"equal, anew":    {files{"x": {a, secret("1")}}, files{"x": {a.DeepCopy(), secret("1")}}, ""},
		"a new file":     {files{}, files{"x": {b, a}}, "x +[d/a d/b] ~[] -[]; "},
		"an empty file":  {files{}, files{"x": {}}, ""},
		"an edit":        {files{"x": {a, b}}, files{"x": {pod("a", "2"), b}}, "x +[] ~[d/a] -[]; "},
		"a file is gone": {files{"x": {a}, "y": {b}}, files{"y": {b}}, "x +[] ~[] -[d/a]; "},
		"a move":         {files{"x": {a}, "y": {}}, files{"x": {}, "y": {a}}, "x +[] ~[] -[d/a]; y +[d/a] ~[] -[]; "},
		"objects":        {files{"x": {secret("1")}}, files{"x": {secret("2"), job}}, "x +[job/d/j] ~[secret/d/s] -[]; "},
	} {
		found, got := Changes(snapshot(c.before), snapshot(c.after)), ""
		for _, file := range slices.Sorted(maps.Keys(found)) {
			f := found[file]
			got += fmt.Sprintf("%s +%v ~%v -%v; ", f.File, f.Added, f.Edited, f.Removed)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	ofJob := JobPod(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "j"}}, "r", 0, 0)
	if found := Changes(snapshot(files{"x": {ofJob, a}}), snapshot(files{"x": {a}})); len(found) != 0 {
		t.Errorf("a pod of a Job: %+v", found)
	}
}
