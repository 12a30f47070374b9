package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Hook runs a container's lifecycle hook until it ends or ctx does. As with the kubelet (pkg/kubelet/lifecycle/handlers.go)
// an HTTP hook has succeeded when there was an answer, whatever its status, and its port is 80 if it names none. The notice
// of a hook that succeeded in another way than its manifest says is for people to read.
func Hook(ctx context.Context, h *v1.LifecycleHandler, t Target) (notice string, err error) {
	defer func() { err = brief(err) }()
	switch {
	case h.Exec != nil:
		return "", execOnce(ctx, h.Exec, t)
	case h.HTTPGet != nil:
		return httpHook(ctx, h.HTTPGet, t)
	case h.TCPSocket != nil:
		return "", tcpOnce(ctx, h.TCPSocket, t)
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
			return "", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "", fmt.Errorf("the hook names nothing to do")
}

// httpHook asks once. As with the kubelet, which once spoke HTTP alone to hooks, a server that does so is asked again without
// TLS; not one that another server's redirect names, and after no other error.
func httpHook(ctx context.Context, a *v1.HTTPGetAction, t Target) (notice string, err error) {
	a = a.DeepCopy()
	if a.Port == (intstr.IntOrString{}) || a.Port == intstr.FromString("") {
		a.Port = intstr.FromInt32(80)
	}
	req, err := httpRequest(ctx, a, t, hookAgent)
	if err != nil {
		return "", err
	}
	err = answered(req, transportFor(a), t.own(a.Host))
	var failed *url.Error
	if !errors.Is(err, http.ErrSchemeMismatch) || !errors.As(err, &failed) || failed.URL != req.URL.String() {
		return "", err
	}
	plain := req.Clone(ctx)
	plain.URL.Scheme = "http"
	plain.Header.Del("Authorization") // nobody may read it on its way
	if plainErr := answered(plain, transport, t.own(a.Host)); plainErr != nil {
		return "", fmt.Errorf("%w; and without TLS: %w", err, plainErr)
	}
	return fmt.Sprintf("the server at %s speaks HTTP and not HTTPS; it was asked without TLS. Set the hook's scheme to HTTP", req.URL.Host), nil
}

// answered is nil when there was an answer, also one that breaks off. As of a probe the error says what was answered only when the
// container itself has.
func answered(req *http.Request, through http.RoundTripper, own bool) error {
	got, err := ask(req, through)
	switch {
	case got.status != 0:
		return nil
	case err != nil && (!own || got.elsewhere):
		return withoutAnswer(err)
	}
	return err
}
