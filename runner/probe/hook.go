package probe

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Hook runs a container's lifecycle hook until it ends or ctx does. As with the kubelet (pkg/kubelet/lifecycle/handlers.go)
// an HTTP hook has succeeded when there was an answer, whatever its status, and its port is 80 if it names none.
func Hook(ctx context.Context, h *v1.LifecycleHandler, t Target) error {
	switch {
	case h.Exec != nil:
		return execOnce(ctx, h.Exec, t)
	case h.HTTPGet != nil:
		return httpHook(ctx, h.HTTPGet, t)
	case h.TCPSocket != nil:
		return tcpOnce(ctx, h.TCPSocket, t)
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("the hook names nothing to do")
}

func httpHook(ctx context.Context, a *v1.HTTPGetAction, t Target) error {
	a = a.DeepCopy()
	if a.Port == (intstr.IntOrString{}) || a.Port == intstr.FromString("") {
		a.Port = intstr.FromInt32(80)
	}
	req, err := httpRequest(ctx, a, t, hookAgent)
	if err != nil {
		return err
	}
	_, _, err = ask(req, transportFor(a))
	return err
}
