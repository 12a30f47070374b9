package workload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/manifests"
)

func deploymentText(o *appsv1.Deployment) string {
	s := o.Status
	text := fmt.Sprintf("generation %d/%d, %d replicas, %d updated, %d ready, %d available, %d unavailable", o.Generation, s.ObservedGeneration, s.Replicas,
		s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas, s.UnavailableReplicas)
	for _, c := range s.Conditions {
		text += fmt.Sprintf(", %s %s %s", c.Type, c.Status, c.Reason)
	}
	return text
}

// The status of what has replicas, in the course of a rollout, and over an edit and a restart of the daemon.
func TestReplicasShown(t *testing.T) {
	box := newFakeBox()
	w := newWorld(t, box)
	if got := w.c.Objects(); len(got.Namespaces) != 0 {
		t.Errorf("something is shown before the first decision: %+v", got)
	}
	put := func(version string) {
		w.put("web", object("Deployment", "web", version, "replicas: 2", "")+"---\n"+object("StatefulSet", "db", version, "replicas: 2", "")+"---\n"+
			object("DaemonSet", "agent", version, "", "")+"---\n"+object("ReplicaSet", "rs", version, "replicas: 1", ""))
		w.look()
	}
	expect := func(when, want string) {
		t.Helper()
		if got := deploymentText(w.c.Objects().Deployments[0]); got != want {
			t.Errorf("%s: got\n%s, want\n%s", when, got, want)
		}
	}
	put("a")
	expect("at first", "generation 1/1, 0 replicas, 0 updated, 0 ready, 0 available, 2 unavailable, "+
		"Available False MinimumReplicasUnavailable, Progressing True ReplicaSetUpdated")
	w.settle()
	const well = "generation 1/1, 2 replicas, 2 updated, 2 ready, 2 available, 0 unavailable, Available True MinimumReplicasAvailable, Progressing True NewReplicaSetAvailable"
	expect("when its pods are ready", well)
	was := w.c.Objects()
	w.tick()
	if is := w.c.Objects(); is.Deployments[0] != was.Deployments[0] || is.Namespaces[0] != was.Namespaces[0] || is.StatefulSets[0] != was.StatefulSets[0] {
		t.Error("an object that has not changed is made anew")
	}
	d := was.Deployments[0]
	if d.Spec.Template.Spec.RestartPolicy != v1.RestartPolicyAlways || *d.Spec.RevisionHistoryLimit != 10 || d.CreationTimestamp.IsZero() ||
		d.UID != box.pods[manifests.DeriveUID("default", "web-0")].taken.OwnerReferences[0].UID || d.Annotations[manifests.FileAnnotation] != "web" {
		t.Errorf("the Deployment lacks what an API server fills in: %+v", d)
	}
	if s := was.DaemonSets[0].Status; s.DesiredNumberScheduled != 1 || s.NumberReady != 1 || s.UpdatedNumberScheduled != 1 || s.NumberUnavailable != 0 || s.ObservedGeneration != 1 {
		t.Errorf("the DaemonSet: %+v", s)
	}
	if s := was.ReplicaSets[0].Status; s.Replicas != 1 || s.ReadyReplicas != 1 || s.AvailableReplicas != 1 {
		t.Errorf("the ReplicaSet: %+v", s)
	}
	before := was.StatefulSets[0].Status
	if before.CurrentRevision != before.UpdateRevision || before.ReadyReplicas != 2 || before.CurrentReplicas != 2 {
		t.Errorf("the StatefulSet: %+v", before)
	}

	box.bad = "b"
	put("b")
	w.settle()
	expect("when the new version fails", "generation 2/2, 3 replicas, 1 updated, 2 ready, 2 available, 1 unavailable, "+
		"Available True MinimumReplicasAvailable, Progressing True ReplicaSetUpdated")
	if s := w.c.Objects().StatefulSets[0].Status; s.CurrentRevision != before.CurrentRevision || s.UpdateRevision == s.CurrentRevision || s.UpdatedReplicas != 1 || s.CurrentReplicas != 1 {
		t.Errorf("the StatefulSet while it is replaced: %+v", s)
	}
	store := w.c.seenStore
	store.Await()
	w.start(box.crash())
	w.c.seen = loadSeen(store)
	w.look()
	w.settle()
	is := w.c.Objects()
	if s := is.StatefulSets[0].Status; s.CurrentRevision != before.CurrentRevision || is.Deployments[0].Generation != 2 || !is.Deployments[0].CreationTimestamp.Equal(&d.CreationTimestamp) {
		t.Errorf("after a restart: %+v, generation %d, since %v, which was %v", s, is.Deployments[0].Generation, is.Deployments[0].CreationTimestamp, d.CreationTimestamp)
	}
	box.bad = ""
	w.settle()
	if s := w.c.Objects().StatefulSets[0].Status; s.CurrentRevision != s.UpdateRevision || s.CurrentRevision == before.CurrentRevision {
		t.Errorf("when all have the new version: %+v", s)
	}
}

func TestOtherObjectsShown(t *testing.T) {
	w := newWorld(t, newFakeBox())
	w.put("a", "apiVersion: v1\nkind: Namespace\nmetadata: {name: declared}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: used}\n---\n"+
		"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: djE=}\n---\n"+
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n")
	changes, cancel := w.c.Subscribe()
	defer cancel()
	w.look()
	select {
	case <-changes:
	default:
		t.Error("who has subscribed is not told")
	}
	o := w.c.Objects()
	var names []string
	for _, ns := range o.Namespaces {
		names = append(names, ns.Name+" "+string(ns.Status.Phase)+" "+ns.Labels[v1.LabelMetadataName])
	}
	if got := strings.Join(names, ", "); got != "declared Active declared, default Active default, used Active used" {
		t.Errorf("namespaces %s", got)
	}
	claim := o.Claims[0]
	if size := claim.Status.Capacity[v1.ResourceStorage]; claim.Status.Phase != v1.ClaimBound || size.String() != "1Gi" || *claim.Spec.VolumeMode != v1.PersistentVolumeFilesystem {
		t.Errorf("the claim: %+v", claim)
	}
	if len(o.ConfigMaps) != 1 || len(o.Secrets) != 1 || o.ConfigMaps[0].UID == "" || o.ConfigMaps[0].CreationTimestamp.IsZero() {
		t.Errorf("ConfigMaps %+v, %d secrets", o.ConfigMaps, len(o.Secrets))
	}
	// A file that cannot be read keeps the age of what was in it.
	w.set.Drop("a")
	w.set.Put("b", manifests.Contents{}, manifests.Problems{{Message: "bad"}}, w.box.now)
	w.look()
	if _, kept := w.c.seen["configmap/used/c"]; !kept {
		t.Error("the age of an object is lost while a file cannot be read")
	}
	w.set.Drop("b")
	w.look()
	if len(w.c.seen) != 1 {
		t.Errorf("what is gone is remembered: %v", w.c.seen)
	}
}

// podsBox also shows pods.
type podsBox struct {
	*fakeBox
	shown []*v1.Pod
}

func (b *podsBox) Pods() []*v1.Pod { return b.shown }

func jobText(o *batchv1.Job) string {
	s := o.Status
	text := fmt.Sprintf("%d active, %d ready, %d succeeded, %d failed", s.Active, *s.Ready, s.Succeeded, s.Failed)
	if s.StartTime != nil {
		text += ", from " + s.StartTime.Sub(t0).String()
	}
	if s.CompletionTime != nil {
		text += " to " + s.CompletionTime.Sub(t0).String()
	}
	if s.CompletedIndexes != "" {
		text += ", indexes " + s.CompletedIndexes
	}
	for _, c := range s.Conditions {
		text += fmt.Sprintf(", %s %s", c.Type, c.Reason)
	}
	return text
}

func TestJobsShown(t *testing.T) {
	indexed := job(completions(6, 6), func(s *batchv1.JobSpec) { s.CompletionMode = ptr.To(batchv1.IndexedCompletion) })
	suspended := job(func(s *batchv1.JobSpec) { s.Suspend = ptr.To(true) })
	for _, c := range []struct {
		name, pods, want string
		job              *batchv1.Job
	}{
		{"one that has not begun", "", "0 active, 0 ready, 0 succeeded, 0 failed, from 0s", job()},
		{"one that runs", "r", "1 active, 0 ready, 0 succeeded, 0 failed, from -1m0s", job()},
		{"one that is done", "s", "0 active, 0 ready, 1 succeeded, 0 failed, from -1m0s to -10s, SuccessCriteriaMet CompletionsReached, Complete CompletionsReached", job()},
		{"one that has failed", "fff", "0 active, 0 ready, 0 succeeded, 3 failed, from -1m0s, FailureTarget BackoffLimitExceeded, Failed BackoffLimitExceeded", job()},
		{"one with indexes", "ssrsss", "1 active, 0 ready, 5 succeeded, 0 failed, from -1m0s, indexes 0,1,3-5", indexed},
		{"one that is suspended", "", "0 active, 0 ready, 0 succeeded, 0 failed, Suspended JobSuspended", suspended},
	} {
		box := &podsBox{newFakeBox(), existing(c.job, c.pods, 10*time.Second)}
		w := newWorld(t, box.fakeBox)
		w.c.runner = box
		for range 2 { // as it ends, and when it is over
			w.c.Apply(manifests.Snapshot{Jobs: map[string]*batchv1.Job{"default/j": c.job}})
			w.c.look(t0)
			if got := jobText(w.c.Objects().Jobs[0]); got != c.want {
				t.Errorf("%s: got\n%s, want\n%s", c.name, got, c.want)
			}
		}
	}
}

func TestCronJobsShown(t *testing.T) {
	cj := cronJob("* * * * *", func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = ptr.To[int32](0) })
	box := &podsBox{newFakeBox(), nil}
	w := newWorld(t, box.fakeBox)
	w.c.runner = box
	at := t0.Add(10 * time.Second)
	w.c.Apply(manifests.Snapshot{CronJobs: map[string]*batchv1.CronJob{"default/c": cj}})
	w.c.look(at)
	if s := w.c.Objects().CronJobs[0].Status; s.LastScheduleTime != nil || len(s.Active) != 0 {
		t.Errorf("one that has not run: %+v", s)
	}
	at = at.Add(time.Minute)
	w.c.look(at)
	o := w.c.Objects()
	if len(o.Jobs) != 1 || len(o.CronJobs[0].Status.Active) != 1 {
		t.Fatalf("its Job is not shown: %d Jobs, %+v", len(o.Jobs), o.CronJobs[0].Status)
	}
	run, s := o.Jobs[0], o.CronJobs[0].Status
	owner := metav1.GetControllerOf(run)
	if owner == nil || owner.Kind != "CronJob" || owner.Name != "c" || owner.UID != o.CronJobs[0].UID || s.Active[0].Name != run.Name || s.Active[0].UID != run.UID ||
		!s.LastScheduleTime.Time.Equal(t0.Add(time.Minute)) || run.CreationTimestamp.IsZero() {
		t.Errorf("the Job %+v of %+v", run.ObjectMeta, s)
	}
	made := existing(w.c.state.Cron["default/c"].Runs[0].Job, "s", 0)
	made[0].Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(at)
	box.shown = made
	w.c.look(at)
	w.c.look(at)
	o = w.c.Objects()
	if s := o.CronJobs[0].Status; len(o.Jobs) != 0 || len(s.Active) != 0 || s.LastSuccessfulTime == nil || !s.LastSuccessfulTime.Time.Equal(at) || !s.LastScheduleTime.Time.Equal(t0.Add(time.Minute)) {
		t.Errorf("after its history was forgotten: %d Jobs, %+v", len(o.Jobs), s)
	}
}
