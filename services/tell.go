package services

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/served"
	"github.com/solopod/solopod/services/allocate"
	"github.com/solopod/solopod/services/endpoints"
)

// teller tells what is the matter with services, once while it is so.
type teller struct {
	report Report
	// given and ports were told, of what could not be given and of ports that others have.
	given, ports map[string]bool
	served       map[string]bool // whether services had endpoints when it was looked last
	lonely       map[string]bool // services of which was told that nothing could be an endpoint
	doubt        time.Time       // when that is looked for
}

// announce tells of services what could not be done for them; what was told before is not told again while it is so.
func (t *teller) announce(told *map[string]bool, notes []allocate.Note) {
	before := *told
	*told = make(map[string]bool, len(notes))
	for _, n := range notes {
		line := n.Namespace + "/" + n.Name + " " + n.Message
		if (*told)[line] = true; !before[line] {
			t.report("Service", n.Namespace, n.Name, v1.EventTypeWarning, n.Reason, n.Message)
		}
	}
}

// NoEndpoints is the reason of the event that says that connections to a service are refused.
const NoEndpoints = "NoEndpoints"

// doubtAfter is how long a new service may have nothing that could become an endpoint: its pods come beside it.
const doubtAfter = 5 * time.Second

// endpoints tells when a service has lost its last endpoint, and when nothing is there that could become one. That a pod is not
// ready yet goes by itself, and is not told.
func (t *teller) endpoints(w *endpoints.World, table *served.Table, now time.Time) {
	doubted := !t.doubt.IsZero() && !now.Before(t.doubt)
	if doubted {
		t.doubt = time.Time{}
	}
	serving, lonely := make(map[string]bool, len(table.Services)), map[string]bool{}
	for i := range table.Services {
		s := &table.Services[i]
		if s.ExternalName != "" {
			continue
		}
		key := s.Key()
		serving[key] = serves(s)
		switch {
		case serving[key]:
		case t.served[key]:
			t.report("Service", s.Namespace, s.Name, v1.EventTypeWarning, NoEndpoints, "none of the service's endpoints is ready any more; connections are refused")
		case (doubted || t.lonely[key]) && !w.Hopeful(key):
			if lonely[key] = true; !t.lonely[key] {
				t.report("Service", s.Namespace, s.Name, v1.EventTypeWarning, NoEndpoints,
					"no pod has the labels of the service's selector, and no EndpointSlice its name; connections are refused")
			}
		}
	}
	t.served, t.lonely = serving, lonely
}

func serves(s *served.Service) bool {
	return len(s.Endpoints) > 0 || slices.ContainsFunc(s.Ports, func(p served.Port) bool { return len(p.Targets) > 0 })
}
