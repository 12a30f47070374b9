// Package objects tells metrics of the state of objects, with kube-state-metrics' names and labels: of pods and what they are made from, of
// the node, of Services, their endpoints and NetworkPolicies; and the kernel's counters of Services. It reads when it is asked.
package objects

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/monitor/exposition"
)

// Source gives what is served to pods by name and address; the services' Controller is one.
type Source interface {
	Services() []*v1.Service
	EndpointSlices() []*discoveryv1.EndpointSlice
	NetworkPolicies() []*networkingv1.NetworkPolicy
}

// Workloads are the objects of manifests that pods are made from, or use, with their status.
type Workloads struct {
	Deployments  []*appsv1.Deployment
	ReplicaSets  []*appsv1.ReplicaSet
	StatefulSets []*appsv1.StatefulSet
	DaemonSets   []*appsv1.DaemonSet
	Jobs         []*batchv1.Job
	CronJobs     []*batchv1.CronJob
	Claims       []*v1.PersistentVolumeClaim
	Namespaces   []*v1.Namespace
}

// Sources give the objects. They are asked once for each scrape, by one after the other.
type Sources struct {
	Pods      func() []*v1.Pod
	Node      func() *v1.Node
	Workloads func() Workloads
	Services  Source
}

// State tells the state of objects. It is safe for concurrent use.
type State struct {
	from Sources

	mu             sync.Mutex // held while text is made, for some milliseconds
	forget         *time.Timer
	pods           *kind[v1.Pod, *v1.Pod]
	containers     *exposition.Endpoint[container]
	initContainers *exposition.Endpoint[container]
	node           *kind[v1.Node, *v1.Node]
	namespaces     *kind[v1.Namespace, *v1.Namespace]
	deployments    *kind[appsv1.Deployment, *appsv1.Deployment]
	replicaSets    *kind[appsv1.ReplicaSet, *appsv1.ReplicaSet]
	statefulSets   *kind[appsv1.StatefulSet, *appsv1.StatefulSet]
	daemonSets     *kind[appsv1.DaemonSet, *appsv1.DaemonSet]
	jobs           *kind[batchv1.Job, *batchv1.Job]
	cronJobs       *kind[batchv1.CronJob, *batchv1.CronJob]
	claims         *kind[v1.PersistentVolumeClaim, *v1.PersistentVolumeClaim]
	services       *kind[v1.Service, *v1.Service]
	slices         *kind[discoveryv1.EndpointSlice, *discoveryv1.EndpointSlice]
	policies       *kind[networkingv1.NetworkPolicy, *networkingv1.NetworkPolicy]
}

// keep is how long the beginnings of lines are kept after a scrape.
const keep = 5 * time.Minute

// New makes a State.
func New(from Sources) *State {
	s := &State{
		from:           from,
		pods:           newKind("kube_pod", podName, podFamilies),
		containers:     exposition.New(containerFamilies("kube_pod_container", false)),
		initContainers: exposition.New(containerFamilies("kube_pod_init_container", true)),
		node:           newKind("kube_node", nodeName, nodeFamilies),
		namespaces:     newKind("kube_namespace", namespaceName, namespaceFamilies),
		deployments:    newKind("kube_deployment", named[appsv1.Deployment]("deployment"), deploymentFamilies),
		replicaSets:    newKind("kube_replicaset", named[appsv1.ReplicaSet]("replicaset"), replicaSetFamilies),
		statefulSets:   newKind("kube_statefulset", named[appsv1.StatefulSet]("statefulset"), statefulSetFamilies),
		daemonSets:     newKind("kube_daemonset", named[appsv1.DaemonSet]("daemonset"), daemonSetFamilies),
		jobs:           newKind("kube_job", named[batchv1.Job]("job_name"), jobFamilies),
		cronJobs:       newKind("kube_cronjob", named[batchv1.CronJob]("cronjob"), cronJobFamilies),
		claims:         newKind("kube_persistentvolumeclaim", named[v1.PersistentVolumeClaim]("persistentvolumeclaim"), claimFamilies),
		services:       newKind("kube_service", serviceName, serviceFamilies),
		slices:         newKind("kube_endpointslice", named[discoveryv1.EndpointSlice]("endpointslice"), sliceFamilies),
		policies:       newKind("kube_networkpolicy", named[networkingv1.NetworkPolicy]("networkpolicy"), policyFamilies),
	}
	s.forget = time.AfterFunc(keep, s.reset)
	return s
}

// reset forgets the lines of the last scrape.
func (s *State) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range []interface{ Reset() }{s.containers, s.initContainers} {
		e.Reset()
	}
	for _, k := range []interface{ reset() }{
		s.pods, s.node, s.namespaces, s.deployments, s.replicaSets, s.statefulSets, s.daemonSets, s.jobs, s.cronJobs, s.claims, s.services, s.slices, s.policies,
	} {
		k.reset()
	}
}

// Write writes what stands behind /metrics/state. It does not fail.
func (s *State) Write(_ context.Context, w *bytes.Buffer) error {
	pods, node, workloads := s.from.Pods(), s.from.Node(), s.from.Workloads()
	services, endpoints, policies := s.from.Services.Services(), s.from.Services.EndpointSlices(), s.from.Services.NetworkPolicies()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget.Reset(keep)
	s.pods.tell(w, pods)
	s.tellContainers(w, pods)
	s.node.tell(w, []*v1.Node{node})
	s.namespaces.tell(w, namespaces(pods, &workloads, services))
	s.deployments.tell(w, workloads.Deployments)
	s.replicaSets.tell(w, replicaSets(&workloads))
	s.statefulSets.tell(w, workloads.StatefulSets)
	s.daemonSets.tell(w, workloads.DaemonSets)
	s.jobs.tell(w, workloads.Jobs)
	s.cronJobs.tell(w, workloads.CronJobs)
	s.claims.tell(w, workloads.Claims)
	s.services.tell(w, services)
	s.slices.tell(w, endpoints)
	s.policies.tell(w, policies)
	return nil
}

func (s *State) tellContainers(w *bytes.Buffer, pods []*v1.Pod) {
	s.containers.Begin()
	s.initContainers.Begin()
	for _, p := range pods {
		add(s.containers, containersOf(p, p.Spec.Containers, p.Status.ContainerStatuses))
		add(s.initContainers, containersOf(p, p.Spec.InitContainers, p.Status.InitContainerStatuses))
	}
	s.containers.Write(w)
	s.initContainers.Write(w)
}

func add(e *exposition.Endpoint[container], all []container) {
	for i := range all {
		c := &all[i]
		e.Add(e.Owner(string(c.pod.UID)+"\x00"+c.spec.Name, c.name()...), c)
	}
}

// namespaces are those of manifests, and those that some object lies in.
func namespaces(pods []*v1.Pod, w *Workloads, services []*v1.Service) []*v1.Namespace {
	all := map[string]*v1.Namespace{}
	for _, n := range w.Namespaces {
		all[n.Name] = n
	}
	lie(all, pods)
	lie(all, services)
	lie(all, w.Deployments)
	lie(all, w.ReplicaSets)
	lie(all, w.StatefulSets)
	lie(all, w.DaemonSets)
	lie(all, w.Jobs)
	lie(all, w.CronJobs)
	lie(all, w.Claims)
	out := make([]*v1.Namespace, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

func lie[O metav1.Object](in map[string]*v1.Namespace, objects []O) {
	for _, o := range objects {
		if name := o.GetNamespace(); in[name] == nil {
			in[name] = &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		}
	}
}
