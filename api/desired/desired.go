// Package desired has the objects that shall run, for whoever compares them with those of other files, without what Secrets hold.
package desired

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
)

// Objects are those of a desired state, each kind by namespace and name. Pods has those of Deployments and the like, too.
type Objects struct {
	Pods            []*v1.Pod                     `json:"pods"`
	Deployments     []*appsv1.Deployment          `json:"deployments"`
	ReplicaSets     []*appsv1.ReplicaSet          `json:"replicaSets"`
	StatefulSets    []*appsv1.StatefulSet         `json:"statefulSets"`
	DaemonSets      []*appsv1.DaemonSet           `json:"daemonSets"`
	Jobs            []*batchv1.Job                `json:"jobs"`
	CronJobs        []*batchv1.CronJob            `json:"cronJobs"`
	ConfigMaps      []*v1.ConfigMap               `json:"configMaps"`
	Secrets         []*v1.Secret                  `json:"secrets"`
	Claims          []*v1.PersistentVolumeClaim   `json:"claims"`
	Services        []*v1.Service                 `json:"services"`
	EndpointSlices  []*discoveryv1.EndpointSlice  `json:"endpointSlices"`
	NetworkPolicies []*networkingv1.NetworkPolicy `json:"networkPolicies"`
	Namespaces      []*v1.Namespace               `json:"namespaces"`
	// Waiting are the edits of pods that wait for what they need; Pods has what runs meanwhile.
	Waiting []Waiting `json:"waiting,omitempty"`
}

// Waiting is an edit of a pod that waits.
type Waiting struct {
	UID types.UID `json:"uid"`
	// Manifest identifies what waits (state.ManifestRevision); Lacks says what it lacks, as far as that is known.
	Manifest string `json:"manifest"`
	Lacks    string `json:"lacks,omitempty"`
}

// Of are the objects of a desired state. The values of Secrets are replaced by digests: of two desired states with the same salt those of
// the same values are the same, and nothing else can be seen in them. The objects are shared with the state. waiting are the pods whose
// edits wait, by UID.
func Of(s *manifests.Snapshot, salt string, waiting map[types.UID]state.Standing) Objects {
	out := Objects{
		Deployments: sorted(s.Deployments), ReplicaSets: sorted(s.ReplicaSets), StatefulSets: sorted(s.StatefulSets), DaemonSets: sorted(s.DaemonSets),
		Jobs: sorted(s.Jobs), CronJobs: sorted(s.CronJobs), ConfigMaps: sorted(s.ConfigMaps), Claims: sorted(s.Claims), Services: sorted(s.Services),
		EndpointSlices: sorted(s.EndpointSlices), NetworkPolicies: sorted(s.NetworkPolicies), Namespaces: sorted(s.Namespaces),
	}
	for _, d := range sorted(s.Pods) {
		if w, waits := waiting[d.Pod.UID]; waits {
			out.Waiting = append(out.Waiting, Waiting{d.Pod.UID, w.Waits, w.Lacks})
			d.Pod = w.Runs
		}
		out.Pods = append(out.Pods, d.Pod)
	}
	for _, secret := range sorted(s.Secrets) {
		out.Secrets = append(out.Secrets, sealed(secret, salt))
	}
	return out
}

// lastApplied is where kubectl keeps what was applied, with values of Secrets.
const lastApplied = v1.LastAppliedConfigAnnotation

func sealed(secret *v1.Secret, salt string) *v1.Secret {
	copied := *secret
	copied.Data, copied.StringData = map[string][]byte{}, nil
	for key, value := range secret.Data {
		copied.Data[key] = digest(salt, key, value)
	}
	for key, value := range secret.StringData {
		copied.Data[key] = digest(salt, key, []byte(value))
	}
	if copied.Annotations[lastApplied] != "" {
		copied.Annotations = maps.Clone(copied.Annotations)
		delete(copied.Annotations, lastApplied)
	}
	return &copied
}

// digest tells values apart; of the same value under another key it is another one.
func digest(salt, key string, value []byte) []byte {
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(key))
	h.Write([]byte{0})
	h.Write(value)
	return []byte(hex.EncodeToString(h.Sum(nil)))
}

func sorted[T any](of map[string]T) []T {
	out := make([]T, 0, len(of))
	for _, key := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[key])
	}
	return out
}
