package runner

import (
	"context"
	"log/slog"
	"net/netip"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/keep"
	"github.com/solopod/solopod/runner/network"
)

// Services knows what is served to pods. Package services implements it.
type Services interface {
	// Variables are those that tell a container of a pod where the services of its namespace are, as name=value.
	Variables(ctx context.Context, pod *v1.Pod) []string
	// Written waits, within a limit, until what was applied can be used; Isolated until policies are kept to, and says when they are not.
	Written(ctx context.Context)
	Isolated(ctx context.Context) error
}

// serves is what pods know of services.
type serves struct{ Services }

func (s *serves) variables(ctx context.Context, pod *v1.Pod) []string {
	if s.Services == nil {
		return nil
	}
	return s.Variables(ctx, pod)
}

// await waits until services can be used, and policies are kept to: a pod's files say where names are answered, the first thing that it does
// may be to call another, and nothing of it may begin that a policy forbids. One with the machine's network is none of policies' affair: the
// network of the others may be its work.
func (s *serves) await(ctx context.Context, pod *v1.Pod) error {
	if s.Services == nil {
		return nil
	}
	s.Written(ctx)
	if pod.Spec.HostNetwork {
		return nil
	}
	return s.Isolated(ctx)
}

// Serving is a Runner as whoever serves its pods by name and address sees it.
type Serving struct{ *Runner }

// Use has pods know their services. It is called before Start; without it there are none.
func (s Serving) Use(services Services) { s.serves.Services = services }

// NodeIPs are the machine's addresses, one of a family; none while it has none.
func (s Serving) NodeIPs() (out []netip.Addr) {
	for _, text := range s.machine.ips() {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			slog.Debug("an address of the machine is none", "address", text, "err", err)
			continue
		}
		out = append(out, ip)
	}
	return out
}

// Families are those of which pods get addresses, the first one first; none where plugins give them, who do not tell.
func (s Serving) Families() []v1.IPFamily { return s.network.Families() }

// Network is that of pods.
func (s Serving) Network() *network.Network { return s.network }

// Keeper keeps what outlives the daemon.
func (s Serving) Keeper() *keep.Keeper { return s.config.Keeper }
