package plan_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/status"
)

// showing is a pod whose container shows a field of the pod in its environment.
func showing(field string, host bool) *v1.Pod {
	return pod(func(p *v1.Pod) {
		p.Spec.HostNetwork = host
		if field != "" {
			p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "IP", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: field}}}}
		}
	})
}

// attached is a pod whose sandbox was made on a machine with these addresses.
func attached(p *v1.Pod, ips ...string) *scene {
	c := begin(p)
	c.s.Host.IPs = ips
	c.follow()
	c.ends(state.ThingSandbox, state.Claimed{}).follow()
	c.ends(state.ThingSandbox, state.SandboxMade{}).follow()
	a := state.Attachment{IPs: []string{"10.0.0.2"}}
	if p.Spec.HostNetwork {
		a.IPs = nil
	}
	return c.ends(state.ThingNetwork, state.Attached{Attachment: a}).follow()
}

// TestAwaitsAddress: who shows an address that the machine does not have yet waits, and is told; nobody else does.
func TestAwaitsAddress(t *testing.T) {
	creates := func(c *scene) bool { return c.s.Flights["container/main"] != nil }
	for name, test := range map[string]struct {
		pod   *v1.Pod
		waits bool
	}{
		"shows the machine's":                         {showing("status.hostIP", false), true},
		"shows all of the machine's":                  {showing("status.hostIPs", false), true},
		"shows the pod's":                             {showing("status.podIP", false), false},
		"shows the pod's, with the host's network":    {showing("status.podIPs", true), true},
		"shows none":                                  {showing("", false), false},
		"shows none, with the host's network":         {showing("", true), false},
		"shows another field with the host's network": {showing("metadata.name", true), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := attached(test.pod)
			if creates(c) == test.waits {
				t.Fatalf("it is created: %v", creates(c))
			}
			if c.s.Network == nil {
				t.Fatal("the pod has no network")
			}
			if !test.waits {
				return
			}
			shown := status.Of(c.s, c.now).Status.ContainerStatuses[0].State.Waiting
			if shown == nil || shown.Reason != "CreateContainerConfigError" || !strings.Contains(shown.Message, "nodeIP") {
				t.Errorf("it shows %+v", shown)
			}
			if again := plan.Plan(c.s, c.now); len(again) != 0 {
				t.Errorf("it does not rest: %+v", again)
			}
			c.happens(state.HostChanged{IPs: []string{"192.0.2.1", "2001:db8::1"}})
			if shown := status.Of(c.s, c.now).Status; shown.HostIP != "192.0.2.1" || len(shown.HostIPs) != 2 || shown.ContainerStatuses[0].State.Waiting.Message != "" {
				t.Errorf("with an address it shows %+v", shown)
			}
			if c.follow(); !creates(c) {
				t.Error("it is not created when there is an address")
			}
		})
	}
}

// TestAddressMoves: status, probes and pods with the host's network follow the machine's address; processes keep what they have.
func TestAddressMoves(t *testing.T) {
	p := showing("status.podIP", true)
	p.Spec.Containers[0].LivenessProbe = &v1.Probe{PeriodSeconds: 10, FailureThreshold: 3}
	c := attached(p, "192.0.2.1").started("main")
	before := c.s
	c.happens(state.HostChanged{IPs: []string{"192.0.2.9"}}).follow()
	shown := status.Of(c.s, c.now).Status
	if shown.PodIP != "192.0.2.9" || shown.HostIP != "192.0.2.9" || c.s.Containers["main"].ID != before.Containers["main"].ID {
		t.Errorf("it shows %+v", shown)
	}
	if status.Same(&before, &c.s) || state.SameRecord(&before, &c.s) {
		t.Error("nobody is told that the address has changed")
	}
	if before.Network.IPs[0] != "192.0.2.1" {
		t.Error("the earlier state was changed")
	}
	probe := "probe/main/Liveness"
	c.ends(probe, state.WatchEnded{}).follow()
	if f := c.s.Flights[probe]; f == nil || !strings.HasSuffix(f.Key, "192.0.2.9") {
		t.Errorf("the probe asks %+v", f)
	}
	c.happens(state.HostChanged{}).follow()
	if got := status.Of(c.s, c.now).Status.PodIP; got != "192.0.2.9" {
		t.Errorf("without an address of the machine the pod's is %q", got)
	}
	data, err := c.s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	later, err := state.Decode(data, "uid", state.Host{BootID: "boot", IPs: []string{"192.0.2.33"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	next := &scene{s: later, now: c.now}
	next.follow().ends(state.ThingSandbox, state.SandboxFound{Complete: true})
	if got := status.Of(next.s, c.now).Status.PodIP; got != "192.0.2.33" {
		t.Errorf("an address that changed while no Solopod ran is %q", got)
	}
}

// TestResolverFollows: a pod's resolver configuration is made anew when the machine's changes, once, and after a restart of Solopod.
func TestResolverFollows(t *testing.T) {
	c := up(pod(nil)).started("main")
	f := func() *state.Flight { return c.s.Flights[state.ThingResolver] }
	if c.happens(state.HostChanged{Resolver: "two"}).follow(); f() == nil || f().Key != "two" {
		t.Fatalf("nothing is made anew: %+v", f())
	}
	if c.s.Quiet() {
		t.Error("the sandbox would be cleared meanwhile")
	}
	c.happens(state.HostChanged{Resolver: "three"}).follow()
	c.ends(state.ThingResolver, state.ResolverShown{Resolver: "two"}).follow()
	if f() == nil || f().Key != "three" {
		t.Fatalf("the newer one is not taken: %+v", f())
	}
	c.ends(state.ThingResolver, state.ResolverShown{Resolver: "three", Problem: state.Problem{Message: "no disk"}})
	if c.s.Resolver != "" {
		t.Errorf("what has failed counts as done: %s", c.s.Resolver)
	}
	if c.follow(); f() != nil {
		t.Error("it is tried again at once")
	}
	c.later(state.MaxBackoff).follow()
	if f() == nil {
		t.Fatal("it is not tried again")
	}
	if c.ends(state.ThingResolver, state.ResolverShown{Resolver: "three"}).follow(); f() != nil || c.s.Resolver != "three" {
		t.Errorf("it does not rest: %+v", f())
	}
	c.happens(state.Desired{At: c.now}, state.HostChanged{Resolver: "four"}).follow()
	if f() != nil {
		t.Error("a pod that goes is given another one")
	}
}
