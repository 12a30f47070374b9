package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/hosts"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/audit"
	"github.com/solopod/solopod/internal/shop"
)

// serving serves at an address until the test has ended.
func serving(t *testing.T, s *Server, network, address string, d Door) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

// serveShop serves the objects of a shop, at a socket and on a plain port for scrapers.
func serveShop(t *testing.T, from *shop.Shop) (c *Client, scrapers string) {
	t.Helper()
	s := &Server{trail: audit.NewTrail(nil), measuring: http.NewServeMux(), reading: http.NewServeMux(), all: http.NewServeMux()}
	s.Serves(objects.Served{Source: from, Traffic: from.Traffic})
	socket := filepath.Join(t.TempDir(), "s")
	serving(t, s, "unix", socket, Door{Who: access.Socket, Host: &hosts.Machine{}})
	plain := serving(t, s, "tcp", "127.0.0.1:0", plainDoor(access.Scraper))
	return NewClient(socket), "http://" + plain.Addr().String()
}

func names[T any](list []T, name func(*T) string) string {
	var out []string
	for i := range list {
		out = append(out, name(&list[i]))
	}
	return strings.Join(out, " ")
}

// The lists are those of the Kubernetes API, and each object in them says what it is.
func TestServices(t *testing.T) {
	from := shop.New()
	c, scrapers := serveShop(t, from)
	ctx := t.Context()
	services, err := ServiceKind.List(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	got := names(services, func(s *v1.Service) string { return s.APIVersion + "/" + s.Kind + "/" + s.Namespace + "/" + s.Name })
	if want := "v1/Service/default/db v1/Service/default/dns v1/Service/default/public v1/Service/default/web v1/Service/default/world v1/Service/far/api"; got != want {
		t.Errorf("the services are %s", got)
	}
	if s := services[2]; s.Spec.Ports[0].NodePort != 30080 || s.Status.LoadBalancer.Ingress[0].IP != "192.0.2.7" || !s.CreationTimestamp.Time.Equal(shop.Created) {
		t.Errorf("a service is %+v", s)
	}
	if shared := from.Services()[0]; shared.Kind != "" {
		t.Error("an object that others have is changed")
	}
	slices, err := EndpointSliceKind.List(ctx, c)
	if err != nil || len(slices) != 4 || slices[1].APIVersion != "discovery.k8s.io/v1" || slices[1].Kind != "EndpointSlice" || len(slices[1].Endpoints) != 3 {
		t.Errorf("the endpoint slices are %+v, %v", slices, err)
	}
	policies, err := NetworkPolicyKind.List(ctx, c)
	if err != nil || len(policies) != 2 || policies[1].APIVersion != "networking.k8s.io/v1" || policies[1].Kind != "NetworkPolicy" || len(policies[1].Spec.Ingress) != 2 {
		t.Errorf("the policies are %+v, %v", policies, err)
	}
	ends, err := EndpointsKind.List(ctx, c)
	if err != nil || len(ends) != 3 || len(ends[2].Subsets) != 0 || ends[1].Name != "web" || len(ends[1].Subsets) != 1 || len(ends[1].Subsets[0].Addresses) != 2 || len(ends[1].Subsets[0].NotReadyAddresses) != 1 {
		t.Errorf("the endpoints are %+v, %v", ends, err)
	}
	selected, err := SelectedBy(ctx, c, "default", "web")
	if err != nil || len(selected) != 3 || !selected[0].Serves || selected[2].Serves || !strings.Contains(selected[2].Why, "connection refused") {
		t.Errorf("selected are %+v, %v", selected, err)
	}
	if _, err := SelectedBy(ctx, c, "default", "none"); err == nil || !strings.Contains(err.Error(), "there is no service default/none") {
		t.Errorf("a service that does not exist: %v", err)
	}
	traffic, err := TrafficOf(ctx, c)
	if err != nil || traffic["default/web"] != (objects.Traffic{Packets: 12, Bytes: 3456}) || len(traffic) != 2 {
		t.Errorf("the traffic is %+v, %v", traffic, err)
	}
	from.LoseCounters()
	if _, err := TrafficOf(ctx, c); err == nil || !strings.Contains(err.Error(), "cannot read the counters of services: the kernel has no such table") {
		t.Errorf("counters that cannot be read: %v", err)
	}
	for _, path := range []string{"/services", "/endpointslices", "/networkpolicies", "/services/default/web/selected", "/stats/services"} {
		resp, err := http.Get(scrapers + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("a scraper gets %d for %s", resp.StatusCode, path)
		}
	}
	from.Empty()
	if services, err := ServiceKind.List(ctx, c); err != nil || services == nil || len(services) > 0 {
		t.Errorf("of nothing the list is %v, %v", services, err)
	}
}

// A watch begins with what exists, tells each change as it comes, and leaves nothing behind when its client goes.
func TestWatchServices(t *testing.T) {
	from := shop.New()
	c, _ := serveShop(t, from)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := ServiceKind.Watch(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	all := from.Services()
	edited := all[3].DeepCopy()
	edited.Spec.Ports[0].Port = 81
	anew := all[5].DeepCopy()
	anew.UID = "another"
	var told []string
	err = watch.Each(func(e objects.Change[v1.Service]) error {
		told = append(told, fmt.Sprintf("%s %s %s", e.Type, e.Object.Kind, e.Object.Name))
		switch len(told) {
		case 6: // all that exists
			same := *all[1] // a copy that says the same is no change
			from.SetServices(&same, edited, all[4], anew)
		case 11:
			cancel()
		}
		return nil
	})
	want := "ADDED Service db,ADDED Service dns,ADDED Service public,ADDED Service web,ADDED Service world,ADDED Service api," +
		"DELETED Service db,DELETED Service public,DELETED Service api,MODIFIED Service web,ADDED Service api"
	if got := strings.Join(told, ","); err != nil || got != want {
		t.Errorf("told is\n%s\nnot\n%s: %v", got, want, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); from.Listeners() > 0; {
		select {
		case <-deadline:
			t.Fatal("a watch whose client has gone goes on")
		case <-tick.C:
		}
	}
}
