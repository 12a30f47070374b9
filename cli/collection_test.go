package cli

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/image/choice"
)

// TestCollectionSettings: the kubelet's settings of the collection of images are taken as they are, and what is wrong with them has its place.
func TestCollectionSettings(t *testing.T) {
	file, load := settingsFile(t)
	for text, want := range map[string]choice.Settings{
		"":                                 choice.Default,
		"imageGCHighThresholdPercent: 100": {High: 100, Low: 80, MinAge: 2 * time.Minute},
		"imageGCLowThresholdPercent: 0":    {High: 85, Low: 0, MinAge: 2 * time.Minute},
		"imageMinimumGCAge: 0s\nimageMaximumGCAge: 720h\npinnedImages: [app, 'registry.example.com/app:1']": {High: 85, Low: 80, MaxAge: 720 * time.Hour},
	} {
		if c, err := load(text); err != nil || collectionSettings(&c) != want {
			t.Errorf("%q: %+v, %v", text, collectionSettings(&c), err)
		}
	}
	for text, want := range map[string]string{
		"# a box\nimageGCLowThresholdPercent: 90": "F:2:29: imageGCLowThresholdPercent: 90 is not less than imageGCHighThresholdPercent (85): images are collected from there down to this; lower it",
		"imageMaximumGCAge: 1m":                   "F:1:20: imageMaximumGCAge: 1m0s is not longer than imageMinimumGCAge (2m0s); make it longer, or 0s for none",
		"pinnedImages: [App]":                     "F:1:16: pinnedImages: invalid image reference \"App\": ",
	} {
		_, err := load(text)
		if want = strings.ReplaceAll(want, "F:", file+":"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got\n%v\nwant\n%s", text, err, want)
		}
	}
}

// TestUsersIn: every object of the manifests that has pods, or will have some, uses their images.
func TestUsersIn(t *testing.T) {
	spec := func(image string) v1.PodSpec {
		return v1.PodSpec{
			InitContainers: []v1.Container{{Image: image + "-init"}}, Containers: []v1.Container{{Image: image}},
			Volumes: []v1.Volume{{Name: "a"}, {Name: "b", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: image + "-volume"}}}},
		}
	}
	template := func(image string) v1.PodTemplateSpec { return v1.PodTemplateSpec{Spec: spec(image)} }
	users := usersIn(manifests.Snapshot{
		Pods:         map[string]manifests.Desired{"uid": {Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "pod"}, Spec: spec("pod")}}},
		Jobs:         map[string]*batchv1.Job{"x/job": {Spec: batchv1.JobSpec{Template: template("job")}}},
		CronJobs:     map[string]*batchv1.CronJob{"x/cron": {Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template("cron")}}}}},
		Deployments:  map[string]*appsv1.Deployment{"x/deployment": {Spec: appsv1.DeploymentSpec{Template: template("deployment")}}},
		ReplicaSets:  map[string]*appsv1.ReplicaSet{"x/replicas": {Spec: appsv1.ReplicaSetSpec{Template: template("replicas")}}},
		StatefulSets: map[string]*appsv1.StatefulSet{"x/stateful": {Spec: appsv1.StatefulSetSpec{Template: template("stateful")}}},
		DaemonSets:   map[string]*appsv1.DaemonSet{"x/daemon": {Spec: appsv1.DaemonSetSpec{Template: template("daemon")}}},
	})
	var names []string
	for _, u := range users {
		kind, key, _ := strings.Cut(u.Name, " ")
		names = append(names, kind)
		image := strings.TrimPrefix(key, "x/")
		if !reflect.DeepEqual(u.Images, []string{image + "-init", image, image + "-volume"}) {
			t.Errorf("%s uses %q", u.Name, u.Images)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "CronJob DaemonSet Deployment Job ReplicaSet StatefulSet pod" {
		t.Error(got)
	}
}
