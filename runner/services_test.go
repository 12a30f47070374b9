package runner

import (
	"context"
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// unwritten are services whose policies cannot be put into force.
type unwritten struct{ waited int }

var errUnwritten = errors.New("no policy is in force")

func (*unwritten) Variables(context.Context, *v1.Pod) []string { return []string{"A=b"} }
func (u *unwritten) Written(context.Context)                   { u.waited++ }
func (*unwritten) Isolated(context.Context) error              { return errUnwritten }

// A pod waits until policies are in force, but for one with the machine's network, which policies are not for: without it there may be no
// network for any. Where nobody serves nobody waits.
func TestAwaitServices(t *testing.T) {
	u := &unwritten{}
	s := serves{u}
	onMachine := &v1.Pod{Spec: v1.PodSpec{HostNetwork: true}}
	if err := s.await(t.Context(), &v1.Pod{}); !errors.Is(err, errUnwritten) {
		t.Error(err)
	}
	if err := s.await(t.Context(), onMachine); err != nil {
		t.Error(err)
	}
	if u.waited != 2 {
		t.Errorf("%d of 2 wait until services can be used", u.waited)
	}
	none := serves{}
	if err := none.await(t.Context(), &v1.Pod{}); err != nil || none.variables(t.Context(), &v1.Pod{}) != nil {
		t.Error(err)
	}
}
