package manifests

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// claimServed takes over what the file says of Services and networks.
func (f *File) claimServed(owner map[string]string, c *Contents, out *Snapshot) {
	claimAll(f, owner, "service", c.Services, out.Services, out.FileOf)
	claimAll(f, owner, "endpoints", c.Endpoints, out.Endpoints, out.FileOf)
	claimAll(f, owner, "endpointslice", c.EndpointSlices, out.EndpointSlices, out.FileOf)
	claimAll(f, owner, "networkpolicy", c.NetworkPolicies, out.NetworkPolicies, out.FileOf)
	for _, ns := range c.Namespaces {
		// Each file of a namespace's objects may declare the namespace, as files for kubectl do.
		if first := out.Namespaces[ns.Name]; first != nil && same(first.Labels, ns.Labels) && same(first.Annotations, ns.Annotations) {
			f.Objects = append(f.Objects, ObjectName("namespace", ns))
		} else if f.claim(owner, "namespace", ns) {
			out.Namespaces[ns.Name], out.FileOf[ObjectName("namespace", ns)] = ns, f.Name
		}
	}
}

func claimAll[T metav1.Object](f *File, owner map[string]string, kind string, objects []T, to map[string]T, fileOf map[string]string) {
	for _, o := range objects {
		if f.claim(owner, kind, o) {
			to[o.GetNamespace()+"/"+o.GetName()], fileOf[ObjectName(kind, o)] = o, f.Name
		}
	}
}

// Served is what each file says of Services and networks, for a record that outlives the daemon (Set.Recall).
func (s *Snapshot) Served() map[string]Contents {
	out := map[string]Contents{}
	keep(s, out, "service", s.Services, func(c *Contents) *[]*v1.Service { return &c.Services })
	keep(s, out, "endpoints", s.Endpoints, func(c *Contents) *[]*v1.Endpoints { return &c.Endpoints }) //nolint:staticcheck // deprecated, and much used
	keep(s, out, "endpointslice", s.EndpointSlices, func(c *Contents) *[]*discoveryv1.EndpointSlice { return &c.EndpointSlices })
	keep(s, out, "networkpolicy", s.NetworkPolicies, func(c *Contents) *[]*networkingv1.NetworkPolicy { return &c.NetworkPolicies })
	keep(s, out, "namespace", s.Namespaces, func(c *Contents) *[]*v1.Namespace { return &c.Namespaces })
	return out
}

func keep[T metav1.Object](s *Snapshot, out map[string]Contents, kind string, objects map[string]T, of func(*Contents) *[]T) {
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		o := objects[key]
		if o.GetLabels()[discoveryv1.LabelManagedBy] == mirrored {
			continue // the Endpoints are there
		}
		file := s.FileOf[ObjectName(kind, o)]
		c := out[file]
		list := of(&c)
		*list = append(*list, o)
		out[file] = c
	}
}

// relate has Endpoints stand for EndpointSlices, and says what does not fit together among the files.
func (s *Snapshot) relate() {
	if len(s.Services)+len(s.Endpoints)+len(s.EndpointSlices) == 0 {
		return
	}
	r := relations{s, make(map[string]*File, len(s.Files))}
	for i := range s.Files {
		r.files[s.Files[i].Name] = &s.Files[i]
	}
	r.slices()
	r.endpoints()
	r.taken()
}

type relations struct {
	*Snapshot
	files map[string]*File
}

// warn says something of an object in the file where it stands.
func (r *relations) warn(kind string, object metav1.Object, path, format string, args ...any) {
	name := ObjectName(kind, object)
	if f := r.files[r.FileOf[name]]; f != nil {
		f.Problems = append(f.Problems, Problem{File: f.Name, Path: path, Warning: true, Message: name + " " + fmt.Sprintf(format, args...)})
	}
}

func (r *relations) slices() {
	for _, key := range slices.Sorted(maps.Keys(r.EndpointSlices)) {
		slice := r.EndpointSlices[key]
		if author := slice.Labels[discoveryv1.LabelManagedBy]; author == mirrored || author == selected || author == SliceAuthor {
			// It was copied out of a cluster, whose addresses mean nothing here, or of what Solopod shows.
			r.warn("endpointslice", slice, "metadata.labels", "has no effect: it says that %s has made it, of pods or Endpoints; remove the label %s if it was you", author, discoveryv1.LabelManagedBy)
			delete(r.EndpointSlices, key)
			continue
		}
		name := slice.Labels[discoveryv1.LabelServiceName]
		if name == "" {
			continue // said when it was decoded
		}
		switch service := r.Services[slice.Namespace+"/"+name]; {
		case service == nil:
			r.warn("endpointslice", slice, "metadata.labels", "has no effect: there is no service %s/%s", slice.Namespace, name)
		case service.Spec.Type == v1.ServiceTypeExternalName:
			r.warn("endpointslice", slice, "metadata.labels", "has no effect: the service %s/%s is an ExternalName", slice.Namespace, name)
		}
	}
}

func (r *relations) endpoints() {
	for _, key := range slices.Sorted(maps.Keys(r.Endpoints)) {
		e := r.Endpoints[key]
		switch service := r.Services[key]; {
		case e.Labels[discoveryv1.LabelSkipMirror] == "true":
			r.warn("endpoints", e, "metadata.labels", "has no effect: its label %s says so", discoveryv1.LabelSkipMirror)
		case service == nil:
			r.warn("endpoints", e, "metadata.name", "has no effect: there is no service of its name in its namespace")
		case service.Spec.Type == v1.ServiceTypeExternalName:
			r.warn("endpoints", e, "metadata.name", "has no effect: the service of its name is an ExternalName")
		case len(service.Spec.Selector) > 0:
			r.warn("endpoints", e, "metadata.name", "has no effect: the service of its name has a selector, which finds its pods; remove one of them")
		default:
			for _, slice := range SlicesOf(e) {
				name := slice.Namespace + "/" + slice.Name
				r.EndpointSlices[name], r.FileOf[ObjectName("endpointslice", slice)] = slice, r.FileOf[ObjectName("endpoints", e)]
			}
		}
	}
}

// taken says which services want the same address or the same port of the machine.
func (r *relations) taken() {
	owner := map[string]string{}
	want := func(s *v1.Service, path, thing string) {
		if other, taken := owner[thing]; taken && other != ObjectName("service", s) {
			r.warn("service", s, path, "wants %s, as %s does; only one of them can have it", thing, other)
			return
		}
		owner[thing] = ObjectName("service", s)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Services)) {
		s := r.Services[key]
		for _, ip := range s.Spec.ClusterIPs {
			if ip != v1.ClusterIPNone {
				want(s, "spec.clusterIP", "the address "+ip)
			}
		}
		for _, p := range s.Spec.Ports {
			if p.NodePort != 0 {
				want(s, "spec.ports", fmt.Sprintf("the node port %d/%s", p.NodePort, p.Protocol))
			}
		}
	}
}
