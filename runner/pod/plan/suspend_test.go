package plan

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// When the machine goes down everything ends within the time that is left, and nothing starts (kubelet, graceful node
// shutdown: a pod's own grace period holds where it is shorter).
func TestSuspend(t *testing.T) {
	stopping := func(killAt time.Duration) *Status {
		s := running()
		s.Stopping, s.KillAt = true, t0.Add(killAt)
		return s
	}
	killed := stopping(-time.Second)
	killed.Killed = true
	for name, c := range map[string]struct {
		policy v1.RestartPolicy
		gone   bool // the manifest went before
		stopBy time.Duration
		a, b   *Status
		setUp  bool
		want   string
	}{
		"the pod's own grace is shorter":      {a: running(), stopBy: time.Minute, setUp: true, want: "stop a 30s replace"},
		"the machine's time is shorter":       {a: running(), stopBy: 10 * time.Second, setUp: true, want: "stop a 10s replace"},
		"the time is over":                    {a: running(), stopBy: -time.Second, setUp: true, want: "stop a 0s replace"},
		"both containers":                     {a: running(), b: running(), stopBy: 10 * time.Second, setUp: true, want: "stop a 10s replace, stop b 10s replace"},
		"OnFailure begins anew":               {policy: v1.RestartPolicyOnFailure, a: running(), stopBy: 10 * time.Second, setUp: true, want: "stop a 10s replace"},
		"Never is over":                       {policy: v1.RestartPolicyNever, a: running(), stopBy: 10 * time.Second, setUp: true, want: "stop a 10s"},
		"one that is gone does not come back": {gone: true, a: running(), stopBy: 10 * time.Second, setUp: true, want: "stop a 10s"},
		"it was stopping already":             {a: stopping(5 * time.Second), stopBy: 10 * time.Second, setUp: true, want: "wait 5s"},
		"it was stopping, with more time":     {a: stopping(time.Minute), stopBy: 10 * time.Second, setUp: true, want: "wait 10s"},
		"its time is over":                    {a: stopping(-time.Second), stopBy: 10 * time.Second, setUp: true, want: "kill a"},
		"it is killed":                        {a: killed, stopBy: 10 * time.Second, setUp: true, want: ""},
		"all have ended":                      {a: ended(0, 0), stopBy: 10 * time.Second, setUp: true, want: "suspend"},
		"a crash loop waits no longer":        {a: ended(1, 0), stopBy: 10 * time.Second, setUp: true, want: "suspend"},
		"nothing was started yet":             {stopBy: 10 * time.Second, setUp: true, want: "suspend"},
		"what is gone is torn down":           {gone: true, a: ended(0, 0), stopBy: 10 * time.Second, setUp: true, want: "teardown"},
		"it is done":                          {a: ended(0, 0), stopBy: 10 * time.Second, want: ""},
		"a new pod is not set up":             {stopBy: 10 * time.Second, want: ""},
	} {
		containers := map[string]*Status{}
		names := []string{"a"}
		if c.a != nil {
			containers["a"] = c.a
		}
		if c.b != nil {
			containers["b"], names = c.b, []string{"a", "b"}
		}
		policy := c.policy
		if policy == "" {
			policy = v1.RestartPolicyAlways
		}
		d, o := desired(policy, names...), up(containers)
		if c.gone {
			d = nil
		}
		o.SetUp, o.StopBy = c.setUp, t0.Add(c.stopBy)
		if got := text(Next(d, o, t0)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
