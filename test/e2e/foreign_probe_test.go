package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A probe tells what its container answers, and of what others answer no more than the status; a flood of headers costs the daemon
// little.
func TestProbesOfOthers(t *testing.T) {
	const secret = "said-to-nobody-else"
	internal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusTeapot) }))
	t.Cleanup(internal.Close)
	leads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/port":
			http.Redirect(w, r, internal.URL+"/internal", http.StatusFound)
		case "/host":
			http.Redirect(w, r, "http://127.0.0.2/internal", http.StatusFound)
		default:
			http.Error(w, "its own words", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(leads.Close)
	header := []byte("X-Long: " + strings.Repeat("a", 30_000) + "\r\n")
	bomb := onLoopback(t, func(conn net.Conn) {
		for _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n")); err == nil; {
			_, err = conn.Write(header)
		}
	})
	probe := func(name, at, host, path string) string {
		_, port, _ := net.SplitHostPort(at)
		return shell(name, forever, "") + indent(4, fmt.Sprintf("readinessProbe: {httpGet: {port: %s, host: %q, path: %s}, periodSeconds: 1, timeoutSeconds: 10}", port, host, path)) + "\n"
	}
	b := newBox(t, embedded)
	b.apply("own.yaml", probe("own", leads.Listener.Addr().String(), "127.0.0.1", "/"))
	b.apply("port.yaml", probe("port", leads.Listener.Addr().String(), "127.0.0.1", "/port"))
	b.apply("host.yaml", probe("host", leads.Listener.Addr().String(), "127.0.0.1", "/host"))
	// A pod with an address of its own that has the machine's loopback asked.
	b.apply("other.yaml", strings.Replace(probe("other", internal.Listener.Addr().String(), "127.0.0.1", "/"), "  hostNetwork: true\n", "", 1))
	b.waitReady("host") // as with the kubelet
	b.told("HTTP probe failed with status 503: its own words", "HTTP probe failed with status 418", "was not followed")
	b.waitPod("other", "not ready", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil && !isReady(p) })
	b.eventually("both others are told of", func() error {
		var errs []error
		for _, name := range []string{"port", "other"} {
			if out := b.run("describe", "pod", name); !strings.Contains(out, "status 418") {
				errs = append(errs, fmt.Errorf("pod %s: %s", name, out))
			}
		}
		return errors.Join(errs...)
	})
	var calm, bombs []string
	for i := range 4 {
		calm = append(calm, probe(fmt.Sprint("bomb", i), leads.Listener.Addr().String(), "127.0.0.1", "/"))
		bombs = append(bombs, probe(fmt.Sprint("bomb", i), bomb, "127.0.0.1", "/"))
	}
	b.apply("bombs.yaml", strings.Join(calm, "---\n"))
	for i := range 4 {
		b.waitPod(fmt.Sprint("bomb", i), "running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
	}
	b.forgetPeak()
	before, program := b.memory("VmRSS"), b.memory("RssFile")
	b.apply("bombs.yaml", strings.Join(bombs, "---\n"))
	for i := range 4 {
		b.eventually("the flood is told of", func() error {
			if out := b.run("describe", "pod", fmt.Sprint("bomb", i)); !strings.Contains(out, "headers exceeded") {
				return errors.New(out)
			}
			return nil
		})
	}
	program = max(b.memory("RssFile")-program, 0)
	if grown := b.memory("VmHWM") - before - program; grown > 12<<20 {
		t.Errorf("four floods of headers have cost %d MiB", grown>>20)
	} else {
		t.Logf("four floods of headers have cost %d KiB", grown>>10)
	}
	for _, where := range []string{b.mustGet("/events"), b.daemonOutput()} {
		if strings.Contains(where, secret) {
			t.Error("an event or the log tells what another service said")
		}
	}
}
