package api

import (
	"context"
	"net/url"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/services"
)

// Kind is a kind of objects that a daemon shows.
type Kind[T any] struct {
	path  string
	query url.Values
}

// The kinds.
var (
	PodKind           = KindAt[v1.Pod]("/pods", nil)
	ServiceKind       = KindAt[v1.Service]("/services", nil)
	EndpointSliceKind = KindAt[discoveryv1.EndpointSlice]("/endpointslices", nil)
	NetworkPolicyKind = KindAt[networkingv1.NetworkPolicy]("/networkpolicies", nil)
	EndpointsKind     = KindAt[v1.Endpoints]("/endpoints", nil) //nolint:staticcheck // deprecated, and much asked for
	DeploymentKind    = KindAt[appsv1.Deployment]("/deployments", nil)
	ReplicaSetKind    = KindAt[appsv1.ReplicaSet]("/replicasets", nil)
	StatefulSetKind   = KindAt[appsv1.StatefulSet]("/statefulsets", nil)
	DaemonSetKind     = KindAt[appsv1.DaemonSet]("/daemonsets", nil)
	JobKind           = KindAt[batchv1.Job]("/jobs", nil)
	CronJobKind       = KindAt[batchv1.CronJob]("/cronjobs", nil)
	ConfigMapKind     = KindAt[v1.ConfigMap]("/configmaps", nil)
	ClaimKind         = KindAt[v1.PersistentVolumeClaim]("/persistentvolumeclaims", nil)
	NamespaceKind     = KindAt[v1.Namespace]("/namespaces", nil)
	SecretKind        = KindAt[objects.Secret]("/secrets", nil) // for admins
	EventKind         = KindAt[v1.Event]("/events", nil)
)

// List returns all objects of the kind, by namespace and name.
func (k Kind[T]) List(ctx context.Context, c *Client) ([]T, error) {
	var list objects.List[T]
	err := c.get(ctx, k.path, k.query, &list)
	return list.Items, err
}

// Watch opens a watch of all objects of the kind, until ctx ends. The caller must call Each or Close.
func (k Kind[T]) Watch(ctx context.Context, c *Client) (*Watch[objects.Change[T]], error) {
	return openWatch[objects.Change[T]](ctx, c, k.path)
}

// SelectedBy returns the pods that a service selects, those that do not serve too.
func SelectedBy(ctx context.Context, c *Client, namespace, name string) ([]services.Selected, error) {
	var s objects.Selected
	err := c.get(ctx, "/services/"+url.PathEscape(namespace)+"/"+url.PathEscape(name)+"/selected", nil, &s)
	return s.Selected, err
}

// TrafficOf returns what was sent for each service, by namespace/name.
func TrafficOf(ctx context.Context, c *Client) (map[string]objects.Traffic, error) {
	var t objects.ServiceTraffic
	err := c.get(ctx, "/stats/services", nil, &t)
	return t.Services, err
}

// KindAt is the kind that is listed at a path; query selects some of it.
func KindAt[T any](path string, query url.Values) Kind[T] { return Kind[T]{path, query} }
