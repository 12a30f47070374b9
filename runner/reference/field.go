package reference

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// Field returns the value of a field of the pod, as downward API and fieldRef name it
// (kubernetes.io/docs/concepts/workloads/pods/downward-api).
func (in *Inputs) Field(path string) (string, error) {
	pod := in.Pod
	if base, key, ok := subscript(path); ok {
		switch base {
		case "metadata.annotations":
			return pod.Annotations[key], nil
		case "metadata.labels":
			return pod.Labels[key], nil
		}
		return "", unknownField(path)
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.hostIPs":
		var ips []string
		for _, ip := range pod.Status.HostIPs {
			ips = append(ips, ip.IP)
		}
		return strings.Join(ips, ","), nil
	case "status.podIPs":
		var ips []string
		for _, ip := range pod.Status.PodIPs {
			ips = append(ips, ip.IP)
		}
		return strings.Join(ips, ","), nil
	}
	return "", unknownField(path)
}

// NeedsAddress says whether the container's environment shows the pod's address.
func NeedsAddress(c *v1.Container) bool { return shows(c, "status.podIP") }

// NeedsHostAddress says whether the container's environment shows the machine's address.
func NeedsHostAddress(c *v1.Container) bool { return shows(c, "status.hostIP") }

// shows says whether the container's environment shows a field of the pod, or the list that is called like it.
func shows(c *v1.Container, field string) bool {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && strings.HasPrefix(e.ValueFrom.FieldRef.FieldPath, field) {
			return true
		}
	}
	return false
}

func unknownField(path string) error { return fmt.Errorf("the pod has no field %q to refer to", path) }

// subscript splits metadata.labels['key'].
func subscript(path string) (base, key string, ok bool) {
	base, rest, ok := strings.Cut(path, "['")
	if !ok {
		return "", "", false
	}
	key, ok = strings.CutSuffix(rest, "']")
	return base, key, ok
}

// formatMap writes key="value" lines, sorted, as the kubelet does (pkg/fieldpath).
func formatMap(m map[string]string) string {
	var lines []string
	for _, key := range sortedKeys(m) {
		lines = append(lines, fmt.Sprintf("%s=%q", key, m[key]))
	}
	return strings.Join(lines, "\n")
}

// Resource returns a request or limit of a container of the pod, in units of the divisor, rounded up. A limit that is not
// set is what the machine has, as with the kubelet; a request is then zero. container is who asks.
func (in *Inputs) Resource(s *v1.ResourceFieldSelector, container string) (string, error) {
	if s.ContainerName != "" {
		container = s.ContainerName
	}
	var c *v1.Container
	for _, one := range manifests.AllContainers(in.Pod) {
		if one.Name == container {
			c = one
		}
	}
	if c == nil {
		return "", fmt.Errorf("the pod has no container %q whose %s to show", container, s.Resource)
	}
	kind, name, _ := strings.Cut(s.Resource, ".")
	q := c.Resources.Requests[v1.ResourceName(name)]
	if kind == "limits" {
		if q = c.Resources.Limits[v1.ResourceName(name)]; q.IsZero() {
			q = in.Node[v1.ResourceName(name)]
		}
	}
	divisor := s.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(v1.ResourceCPU) {
		return strconv.FormatInt(parts(amount.Milli(q), amount.Milli(divisor)), 10), nil
	}
	return strconv.FormatInt(parts(amount.Whole(q), amount.Whole(divisor)), 10), nil
}

// parts is how many divisors an amount is, rounded up.
func parts(of, divisor int64) int64 {
	n := of / divisor
	if of%divisor > 0 {
		n++
	}
	return n
}
