package objects

import (
	"context"
	"fmt"
	"net/http"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services"
)

// Source knows what is served to pods by name and address, as it is now; the services' Controller is one. Its lists are by namespace and
// name, and their objects are not changed once they were handed on.
type Source interface {
	// Services have what was decided for them: addresses, node ports, and status.loadBalancer.
	Services() []*v1.Service
	EndpointSlices() []*discoveryv1.EndpointSlice
	NetworkPolicies() []*networkingv1.NetworkPolicy
	// Selected are the pods that a service's selector finds; the error says that there is no such service.
	Selected(namespace, name string) ([]services.Selected, error)
	// Subscribe returns a channel that gets a token whenever one of the lists has changed; several changes may share one.
	Subscribe() (changes <-chan struct{}, cancel func())
}

// CountTraffic counts what the kernel has sent for each service, by namespace/name; the network does.
type CountTraffic func(ctx context.Context) (map[string]served.Traffic, error)

// Traffic is what was sent to a service and from it since its rules were written first.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Selected answers /services/NAMESPACE/NAME/selected.
type Selected struct {
	Selected []services.Selected `json:"selected"`
}

// ServiceTraffic answers /stats/services, by namespace/name.
type ServiceTraffic struct {
	Services map[string]Traffic `json:"services"`
}

// Served shows Services and what belongs to them.
type Served struct {
	Source
	Traffic CountTraffic
}

// Readers adds the paths, all of which only read.
func (s Served) Readers(mux *http.ServeMux) {
	mux.HandleFunc("GET /services", objects[v1.Service, *v1.Service]{v1.SchemeGroupVersion.WithKind("Service"), s.Services, s.Subscribe}.serve)
	mux.HandleFunc("GET /endpointslices", objects[discoveryv1.EndpointSlice, *discoveryv1.EndpointSlice]{
		discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), s.EndpointSlices, s.Subscribe,
	}.serve)
	handle(mux, "/endpoints", objects[endpoints, *endpoints]{v1.SchemeGroupVersion.WithKind("Endpoints"), s.endpoints, s.Subscribe})
	mux.HandleFunc("GET /networkpolicies", objects[networkingv1.NetworkPolicy, *networkingv1.NetworkPolicy]{
		networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"), s.NetworkPolicies, s.Subscribe,
	}.serve)
	mux.HandleFunc("GET /services/{namespace}/{name}/selected", s.selected)
	mux.HandleFunc("GET /stats/services", s.stats)
}

func (s Served) selected(w http.ResponseWriter, r *http.Request) {
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	selected, err := s.Selected(namespace, name)
	if err != nil {
		answer.Fail(w, http.StatusNotFound, err)
		return
	}
	answer.JSON(w, Selected{append([]services.Selected{}, selected...)})
}

func (s Served) stats(w http.ResponseWriter, r *http.Request) {
	counted, err := s.Traffic(r.Context())
	if err != nil {
		answer.Fail(w, http.StatusServiceUnavailable, fmt.Errorf("cannot read the counters of services: %w", err))
		return
	}
	out := ServiceTraffic{map[string]Traffic{}}
	for name, t := range counted {
		out.Services[name] = Traffic(t)
	}
	answer.JSON(w, out)
}
