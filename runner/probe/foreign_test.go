package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const secret = "said-to-nobody-else"

// mute answers each connection with bytes that are no HTTP.
func mute(t *testing.T, greeting string) net.Listener {
	l := listener(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte(greeting)) //nolint:errcheck // the client may have gone
			conn.Close()                 // it was told all
		}
	}()
	return l
}

// What the probed container answers is told, and what another one answers that a manifest or a redirect leads to is not.
func TestOnlyTheContainersAnswerIsTold(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, secret, http.StatusInternalServerError)
	}))
	defer other.Close()
	shell := mute(t, "SSH-2.0-"+secret+"\r\n")
	to := func(a net.Addr) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+a.String()+"/internal", http.StatusFound)
		}
	}
	handler := http.NewServeMux()
	handler.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no disk", http.StatusServiceUnavailable) })
	handler.HandleFunc("/path", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sick", http.StatusFound) })
	handler.HandleFunc("/port", to(other.Listener.Addr()))
	handler.HandleFunc("/shell", to(shell.Addr()))
	probed := httptest.NewServer(handler)
	defer probed.Close()
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	machine := interfaces[len(interfaces)-1].(*net.IPNet).IP.String()
	for name, c := range map[string]struct {
		target Target
		host   string
		port   net.Addr
		path   string
		want   string
	}{
		"the container":                     {target: Target{Host: "127.0.0.1"}, path: "/sick", want: "status 503: no disk"},
		"its redirect to itself":            {target: Target{Host: "127.0.0.1"}, path: "/path", want: "status 503: no disk"},
		"its redirect to another port":      {target: Target{Host: "127.0.0.1"}, path: "/port", want: "status 500"},
		"its redirect to no HTTP":           {target: Target{Host: "127.0.0.1"}, path: "/shell", want: "no HTTP that can be read"},
		"another host":                      {target: Target{Host: "192.0.2.1"}, host: "127.0.0.1", path: "/sick", want: "status 503"},
		"another host, no HTTP":             {target: Target{Host: "192.0.2.1"}, host: "127.0.0.1", port: shell.Addr(), path: "/", want: "no HTTP that can be read"},
		"another host, nobody":              {target: Target{Host: "192.0.2.1"}, host: "127.0.0.1", port: &net.TCPAddr{Port: 1}, path: "/", want: "refused"},
		"the loopback of the host network":  {target: Target{Host: machine, HostNetwork: true}, host: "localhost", path: "/sick", want: "status 503: no disk"},
		"an address of the host network":    {target: Target{Host: "192.0.2.1", HostNetwork: true}, host: "127.0.0.1", path: "/sick", want: "status 503: no disk"},
		"no address of the host network":    {target: Target{Host: "127.0.0.1", HostNetwork: true}, host: "ip6-no-such.invalid", path: "/sick", want: "lookup"},
		"the container, which says no HTTP": {target: Target{Host: "127.0.0.1"}, port: shell.Addr(), path: "/", want: "SSH-2.0-"},
	} {
		if c.port == nil {
			c.port = probed.Listener.Addr()
		}
		get := &v1.HTTPGetAction{Host: c.host, Path: c.path, Port: intstr.FromInt(c.port.(*net.TCPAddr).Port), Scheme: v1.URISchemeHTTP}
		err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 10, ProbeHandler: v1.ProbeHandler{HTTPGet: get}}, c.target)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
			continue
		}
		own := strings.Contains(c.want, "SSH")
		if !own && strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "no disk") != strings.Contains(c.want, "no disk") {
			t.Errorf("%s: told is %q", name, err)
		}
		// Of hooks only what is no answer is told.
		if _, err := Hook(t.Context(), &v1.LifecycleHandler{HTTPGet: get}, c.target); err != nil && !own && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: told of the hook is %q", name, err)
		}
	}
}

// Who speaks before it is asked is told of in the error, and does not write into the log of the daemon.
func TestUnasked(t *testing.T) {
	var logged strings.Builder
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	plain := listener(t)
	for scheme, l := range map[v1.URIScheme]net.Listener{v1.URISchemeHTTP: plain, v1.URISchemeHTTPS: tls.NewListener(listener(t), certified.TLS)} {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					conn.Write([]byte("SSH-2.0-unasked\r\n")) //nolint:errcheck // the client may have gone
					io.Copy(io.Discard, conn)                 //nolint:errcheck // until it goes
				}()
			}
		}()
		get := &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt(l.Addr().(*net.TCPAddr).Port), Scheme: scheme}
		for range 50 {
			err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 10, ProbeHandler: v1.ProbeHandler{HTTPGet: get}}, Target{Host: "127.0.0.1"})
			if err == nil || !strings.Contains(err.Error(), "SSH-2.0-unasked") {
				t.Fatalf("%s: %v", scheme, err)
			}
		}
	}
	if logged.Len() > 0 {
		t.Errorf("logged is %.200q", logged.String())
	}
}

// Who says nothing at all is not waited for longer than the probe may take.
func TestSilent(t *testing.T) {
	l := listener(t)
	began := time.Now()
	get := &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt(l.Addr().(*net.TCPAddr).Port), Scheme: v1.URISchemeHTTPS}
	err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 1, ProbeHandler: v1.ProbeHandler{HTTPGet: get}}, Target{Host: "127.0.0.1"})
	if err == nil || !strings.Contains(err.Error(), "no answer within 1 s") || time.Since(began) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// Whatever is said, what is told of it is short, and text.
func TestMessagesAreShort(t *testing.T) {
	long := strings.Repeat("ä", 100_000) + "\xff"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(http.StatusFound)
		} else {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Write([]byte("x" + long)) //nolint:errcheck // the client reads as much as it likes
	}))
	defer server.Close()
	noHTTP := mute(t, strings.Repeat("x", 50_000)+"\xff\r\n")
	l := listener(t)
	answers := grpc.NewServer(grpc.UnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
		return nil, status.Error(codes.Internal, strings.Repeat("x", 20_000))
	}))
	healthpb.RegisterHealthServer(answers, healthpb.UnimplementedHealthServer{})
	go answers.Serve(l) //nolint:errcheck // it ends with Stop
	defer answers.Stop()
	get := func(a net.Addr, path string) v1.ProbeHandler {
		return v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromInt(a.(*net.TCPAddr).Port), Scheme: v1.URISchemeHTTP}}
	}
	for name, h := range map[string]v1.ProbeHandler{
		"a body": get(server.Listener.Addr(), "/"), "a redirect's body": get(server.Listener.Addr(), "/away"), "no HTTP": get(noHTTP.Addr(), "/"),
		"gRPC":    {GRPC: &v1.GRPCAction{Port: int32(l.Addr().(*net.TCPAddr).Port)}},
		"command": {Exec: &v1.ExecAction{Command: []string{"x"}}},
	} {
		err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 10, ProbeHandler: h}, Target{Host: "127.0.0.1", Exec: func(context.Context, []string) (uint32, []byte, error) {
			return 1, []byte(long), nil
		}})
		if err == nil || len(err.Error()) < 500 || len(err.Error()) > maxMessage+10 || !utf8.ValidString(err.Error()) {
			t.Errorf("%s: an error of %d bytes: %.100v", name, len(fmt.Sprint(err)), err)
		}
	}
}

// Headers without an end cost little, however many probes get them.
func TestHeadersAreBounded(t *testing.T) {
	bomb := listener(t)
	header := []byte("X-Long: " + strings.Repeat("a", 30_000) + "\r\n")
	go func() {
		for {
			conn, err := bomb.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() // the client has gone
				_, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
				for err == nil {
					_, err = conn.Write(header)
				}
			}()
		}
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			h := v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt(bomb.Addr().(*net.TCPAddr).Port), Scheme: v1.URISchemeHTTP}}
			if err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 30, ProbeHandler: h}, Target{Host: "127.0.0.1"}); err == nil || !strings.Contains(err.Error(), "headers exceeded") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	all.Wait()
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 10; took > 4<<10 {
		t.Errorf("four probes of such headers took %d KiB", took)
	}
}

// So it is by HTTP/2.
func TestHeadersOfHTTP2AreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 4*maxHeader))
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	h := v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Scheme: v1.URISchemeHTTP, Port: intstr.FromInt(server.Listener.Addr().(*net.TCPAddr).Port), Protocol: ptr.To(v1.HTTPProtocolHTTP2)}}
	if err := Once(t.Context(), &v1.Probe{TimeoutSeconds: 30, ProbeHandler: h}, Target{Host: "127.0.0.1"}); err == nil {
		t.Error("headers of any length are taken")
	}
}
