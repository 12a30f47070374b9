package cli

import (
	"context"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/manifests"
)

// eventsPlural is the type whose objects lie in no namespace when they are of the machine or of manifests.
const eventsPlural = "events"

// kinds are all types, in the order in which they are listed.
var kinds = sync.OnceValue(func() []*kind {
	return []*kind{
		podKind, containersKind(), serviceKind, endpointsKind, endpointSliceKind, networkPolicyKind,
		deploymentKind, replicaSetKind, statefulSetKind, daemonSetKind, jobKind, cronJobKind,
		configMapKind, secretKind, claimKind, namespaceKind, nodesKind(), eventKind, oomsKind(), imagesKind(), manifestsKind(),
	}
})

// The kinds of the Kubernetes API.
var (
	podKind = listed[v1.Pod]{
		kind: kind{plural: "pods", singular: "pod", short: []string{"po"}, fields: []string{
			"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
			"status.qosClass",
		}},
		from: api.PodKind, meta: func(p *v1.Pod) *metav1.ObjectMeta { return &p.ObjectMeta }, rows: podTable, says: podStatus, description: describePod,
	}.asKind()
	serviceKind = listed[v1.Service]{
		kind: kind{plural: "services", singular: "service", short: []string{"svc"}, fields: []string{"spec.clusterIP", "spec.type"}},
		from: api.ServiceKind, meta: func(s *v1.Service) *metav1.ObjectMeta { return &s.ObjectMeta }, rows: serviceTable,
		says: func(s *v1.Service) string { return string(s.Spec.Type) }, description: describeService,
	}.asKind()
	endpointsKind = listed[v1.Endpoints]{ //nolint:staticcheck // deprecated, and much asked for
		kind: kind{plural: "endpoints", singular: "endpoints", short: []string{"ep", "endpoint"}},
		from: api.EndpointsKind, rows: endpointsTable,
		meta: func(e *v1.Endpoints) *metav1.ObjectMeta { return &e.ObjectMeta }, //nolint:staticcheck // as above
	}.asKind()
	endpointSliceKind = listed[discoveryv1.EndpointSlice]{
		kind: kind{plural: "endpointslices", singular: "endpointslice", group: discoveryv1.GroupName},
		from: api.EndpointSliceKind, meta: func(s *discoveryv1.EndpointSlice) *metav1.ObjectMeta { return &s.ObjectMeta }, rows: endpointSliceTable,
		says: func(s *discoveryv1.EndpointSlice) string { return string(s.AddressType) },
	}.asKind()
	networkPolicyKind = listed[networkingv1.NetworkPolicy]{
		kind: kind{plural: "networkpolicies", singular: "networkpolicy", short: []string{"netpol"}, group: networkingv1.GroupName},
		from: api.NetworkPolicyKind, meta: func(p *networkingv1.NetworkPolicy) *metav1.ObjectMeta { return &p.ObjectMeta }, rows: networkPolicyTable,
		says: func(p *networkingv1.NetworkPolicy) string { return metav1.FormatLabelSelector(&p.Spec.PodSelector) }, description: describeNetworkPolicy,
	}.asKind()
	deploymentKind = listed[appsv1.Deployment]{
		kind: kind{plural: "deployments", singular: "deployment", short: []string{"deploy"}, group: appsv1.GroupName},
		from: api.DeploymentKind, meta: func(o *appsv1.Deployment) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: deploymentTable,
		says: func(o *appsv1.Deployment) string { return readyText(o.Status.ReadyReplicas, o.Spec.Replicas) }, description: describeDeployment,
	}.asKind()
	replicaSetKind = listed[appsv1.ReplicaSet]{
		kind: kind{plural: "replicasets", singular: "replicaset", short: []string{"rs"}, group: appsv1.GroupName, fields: []string{"status.replicas"}},
		from: api.ReplicaSetKind, meta: func(o *appsv1.ReplicaSet) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: replicaSetTable,
		says: func(o *appsv1.ReplicaSet) string { return readyText(o.Status.ReadyReplicas, o.Spec.Replicas) }, description: describeReplicaSet,
	}.asKind()
	statefulSetKind = listed[appsv1.StatefulSet]{
		kind: kind{plural: "statefulsets", singular: "statefulset", short: []string{"sts"}, group: appsv1.GroupName},
		from: api.StatefulSetKind, meta: func(o *appsv1.StatefulSet) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: statefulSetTable,
		says: func(o *appsv1.StatefulSet) string { return readyText(o.Status.ReadyReplicas, o.Spec.Replicas) }, description: describeStatefulSet,
	}.asKind()
	daemonSetKind = listed[appsv1.DaemonSet]{
		kind: kind{plural: "daemonsets", singular: "daemonset", short: []string{"ds"}, group: appsv1.GroupName},
		from: api.DaemonSetKind, meta: func(o *appsv1.DaemonSet) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: daemonSetTable,
		says: func(o *appsv1.DaemonSet) string {
			return readyText(o.Status.NumberReady, &o.Status.DesiredNumberScheduled)
		}, description: describeDaemonSet,
	}.asKind()
	jobKind = listed[batchv1.Job]{
		kind: kind{plural: "jobs", singular: "job", group: batchv1.GroupName, fields: []string{"status.successful"}},
		from: api.JobKind, meta: func(o *batchv1.Job) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: jobTable, says: jobStatus, description: describeJob,
	}.asKind()
	cronJobKind = listed[batchv1.CronJob]{
		kind: kind{plural: "cronjobs", singular: "cronjob", short: []string{"cj"}, group: batchv1.GroupName},
		from: api.CronJobKind, meta: func(o *batchv1.CronJob) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: cronJobTable,
		says: func(o *batchv1.CronJob) string { return o.Spec.Schedule }, description: describeCronJob,
	}.asKind()
	configMapKind = listed[v1.ConfigMap]{
		kind: kind{plural: "configmaps", singular: "configmap", short: []string{"cm"}},
		from: api.ConfigMapKind, meta: func(o *v1.ConfigMap) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: configMapTable, description: describeConfigMap,
	}.asKind()
	secretKind = listed[objects.Secret]{
		kind: kind{plural: "secrets", singular: "secret", fields: []string{"type"}},
		from: api.SecretKind, meta: func(o *objects.Secret) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: secretTable,
		says: func(o *objects.Secret) string { return string(o.Type) }, description: describeSecret,
	}.asKind()
	claimKind = listed[v1.PersistentVolumeClaim]{
		kind: kind{plural: "persistentvolumeclaims", singular: "persistentvolumeclaim", short: []string{"pvc", "claims", "claim"}},
		from: api.ClaimKind, meta: func(o *v1.PersistentVolumeClaim) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: persistentClaimTable, description: describeClaim,
	}.asKind()
	namespaceKind = listed[v1.Namespace]{
		kind: kind{plural: "namespaces", singular: "namespace", short: []string{"ns"}, cluster: true, fields: []string{"status.phase"}},
		from: api.NamespaceKind, meta: func(o *v1.Namespace) *metav1.ObjectMeta { return &o.ObjectMeta }, rows: namespaceTable, description: describeNamespace,
	}.asKind()
	eventKind = listed[v1.Event]{
		kind: kind{plural: eventsPlural, singular: "event", short: []string{"ev"}, fields: []string{
			"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.fieldPath", "reason", "type",
			"reportingComponent",
		}},
		from: api.EventKind, meta: eventMeta, rows: eventTable,
	}.asKind()
)

// eventMeta lies where the event's object does.
func eventMeta(e *v1.Event) *metav1.ObjectMeta {
	m := e.ObjectMeta
	m.Namespace = e.InvolvedObject.Namespace
	return &m
}

func nodesKind() *kind {
	return &kind{
		plural: "nodes", singular: "node", short: []string{"no"}, cluster: true, fields: []string{"spec.unschedulable"},
		list: func(ctx context.Context, c *api.Client) ([]item, error) {
			node, err := c.Node(ctx)
			if err != nil {
				return nil, err
			}
			return []item{{&node.ObjectMeta, node}}, nil
		},
		table: nodeTable, told: func(item) string { return "" },
		describe: func(ctx context.Context, c *api.Client, d *describer, i item) error {
			return describeNode(ctx, c, d, i.object.(*v1.Node))
		},
	}
}

func imagesKind() *kind {
	return &kind{
		plural: "images", singular: "image", cluster: true,
		list: func(ctx context.Context, c *api.Client) ([]item, error) {
			list, err := c.Images(ctx)
			var out []item
			for i := range list {
				out = append(out, item{&metav1.ObjectMeta{Name: list[i].Name, CreationTimestamp: metav1.NewTime(list[i].CreatedAt)}, &list[i]})
			}
			return out, err
		},
		table: func(_ *selection, list []item) table { return imageTable(objectsOf[api.Image](list)) },
		told:  func(i item) string { return size(i.object.(*api.Image).Size) },
		whole: func(_ context.Context, _ *api.Client, list []item) (any, error) {
			return api.Images{Images: objectsOf[api.Image](list)}, nil
		},
		nameOf: func(i item) string { return i.meta.Name },
	}
}

func manifestsKind() *kind {
	return &kind{
		plural: "manifests", singular: "manifest", cluster: true, fields: []string{"state"},
		list: func(ctx context.Context, c *api.Client) ([]item, error) {
			m, err := c.Manifests(ctx)
			var out []item
			for i := range m.Files {
				out = append(out, item{&metav1.ObjectMeta{Name: m.Files[i].Name, CreationTimestamp: metav1.NewTime(m.Files[i].Since)}, &m.Files[i]})
			}
			return out, err
		},
		table:    func(s *selection, list []item) table { return manifestTable(s, objectsOf[manifests.File](list)) },
		told:     func(i item) string { return i.object.(*manifests.File).State },
		describe: describeManifest,
		nameOf:   func(i item) string { return i.meta.Name },
		whole: func(ctx context.Context, c *api.Client, list []item) (any, error) {
			m, err := c.Manifests(ctx)
			m.Files = objectsOf[manifests.File](list)
			return m, err
		},
		warnings: func(ctx context.Context, c *api.Client) (out []string, err error) {
			m, err := c.Manifests(ctx)
			for _, warning := range []string{m.DirectoryError, m.Unwatched} {
				if warning != "" {
					out = append(out, warning)
				}
			}
			return out, err
		},
	}
}

// objectsOf are the objects of a list, by value.
func objectsOf[T any](list []item) []T {
	out := make([]T, len(list))
	for i := range list {
		out[i] = *list[i].object.(*T)
	}
	return out
}
