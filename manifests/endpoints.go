package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// What labels of EndpointSlices name as their author, as in a cluster: mirrored where they stand for Endpoints, selected where a selector
// has found their pods.
const (
	mirrored = "endpointslicemirroring-controller.k8s.io"
	selected = "endpointslice-controller.k8s.io"
)

// SliceAuthor is what the label says of slices that Solopod makes of pods.
const SliceAuthor = "endpointslice-controller.solopod.io"

// SlicesOf makes EndpointSlices of Endpoints, one for each family of each subset, as a cluster does (Kubernetes,
// pkg/controller/endpointslicemirroring). Their names stay while the ports of the subset do.
func SlicesOf(e *v1.Endpoints) []*discoveryv1.EndpointSlice { //nolint:staticcheck // deprecated, and much used
	var out []*discoveryv1.EndpointSlice
	labels := make(map[string]string, len(e.Labels)+2) // one for all: there may be very many subsets, and labels
	maps.Copy(labels, e.Labels)
	labels[discoveryv1.LabelServiceName], labels[discoveryv1.LabelManagedBy] = e.Name, mirrored
	for i := range e.Subsets {
		subset := &e.Subsets[i]
		byFamily := map[discoveryv1.AddressType][]discoveryv1.Endpoint{}
		for _, list := range []struct {
			addresses []v1.EndpointAddress
			ready     bool
		}{{subset.Addresses, true}, {subset.NotReadyAddresses, false}} {
			for _, a := range list.addresses {
				family := familyOf(a.IP)
				byFamily[family] = append(byFamily[family], endpointOf(&a, list.ready))
			}
		}
		for _, family := range slices.Sorted(maps.Keys(byFamily)) {
			slice := &discoveryv1.EndpointSlice{
				TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
				ObjectMeta:  metav1.ObjectMeta{Name: e.Name + "-" + subsetName(subset.Ports, family, i), Namespace: e.Namespace, Labels: labels},
				AddressType: family, Endpoints: byFamily[family], Ports: slicePorts(subset.Ports),
			}
			SetEndpointSliceDefaults(slice)
			out = append(out, slice)
		}
	}
	return out
}

func familyOf(ip string) discoveryv1.AddressType {
	if a, err := netip.ParseAddr(ip); err == nil && a.Is6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

func endpointOf(a *v1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	out := discoveryv1.Endpoint{
		Addresses:  []string{a.IP},
		Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready), Serving: ptr.To(ready), Terminating: ptr.To(false)},
		TargetRef:  a.TargetRef, NodeName: a.NodeName,
	}
	if a.Hostname != "" {
		out.Hostname = ptr.To(a.Hostname)
	}
	return out
}

// subsetName tells the subset's slices from those of others. number does so only where two subsets have the same ports.
func subsetName(ports []v1.EndpointPort, family discoveryv1.AddressType, number int) string {
	data, err := json.Marshal([]any{ports, family, number})
	if err != nil {
		return "" // types of the Kubernetes API always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:5])
}

func slicePorts(ports []v1.EndpointPort) []discoveryv1.EndpointPort {
	out := make([]discoveryv1.EndpointPort, len(ports))
	for i, p := range ports {
		out[i] = discoveryv1.EndpointPort{Name: ptr.To(p.Name), Protocol: ptr.To(p.Protocol), Port: ptr.To(p.Port), AppProtocol: p.AppProtocol}
	}
	return out
}
