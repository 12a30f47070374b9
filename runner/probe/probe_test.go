package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// check runs a probe once against what listens at address, and compares its error: "" means a success.
func check(t *testing.T, name, address string, p v1.Probe, want string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	err = Once(t.Context(), &p, Target{Host: host, Ports: []v1.ContainerPort{{Name: "named", ContainerPort: int32(number)}}})
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: the error is %v, want %q", name, err, want)
	}
}

func TestHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	handler := http.NewServeMux()
	handler.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	handler.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no disk", http.StatusServiceUnavailable) })
	handler.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sick", http.StatusFound) })
	handler.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	})
	handler.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	handler.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	handler.HandleFunc("/asks", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "x.example" || r.Header.Get("X-Own") != "1,2" && len(r.Header.Values("X-Own")) != 2 ||
			!strings.HasPrefix(r.UserAgent(), "kube-probe/") || r.URL.RawQuery != "q=1" {
			http.Error(w, "wrong headers", http.StatusBadRequest)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewTLSServer(handler) // its certificate is nobody's
	defer secure.Close()
	get := func(path string) v1.Probe {
		return v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{
			Path: path, Port: intstr.FromString("named"), Scheme: v1.URISchemeHTTP,
			HTTPHeaders: []v1.HTTPHeader{{Name: "host", Value: "x.example"}, {Name: "X-Own", Value: "1"}, {Name: "X-Own", Value: "2"}},
		}}}
	}
	address := plain.Listener.Addr().String()
	for path, want := range map[string]string{
		"/ok": "", "/asks?q=1": "", "/there": "status 302) was not followed", "/sick": "status 503: no disk", "/here": "status 503", "/none": "status 404",
		"/round": "redirects", "/slow": "no answer within 1 s",
	} {
		check(t, path, address, get(path), want)
	}
	redirected := get("/there")
	number, err := strconv.Atoi(address[strings.LastIndex(address, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	redirected.HTTPGet.Port = intstr.FromInt(number)
	if err := Once(t.Context(), &redirected, Target{Host: "127.0.0.1"}); !errors.As(err, new(*Warning)) {
		t.Errorf("a redirect to another host is no success with a warning: %v", err)
	}
	https := get("/ok")
	https.HTTPGet.Scheme = v1.URISchemeHTTPS
	check(t, "https", secure.Listener.Addr().String(), https, "")
	check(t, "https to a plain server", address, https, "HTTP response to HTTPS client")
	unnamed := get("/ok")
	unnamed.HTTPGet.Port = intstr.FromString("unknown")
	check(t, "unknown port", address, unnamed, `no port named "unknown"`)
	other := get("/ok")
	u, err := url.Parse(elsewhere.URL)
	if err != nil {
		t.Fatal(err)
	}
	if number, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	other.HTTPGet.Host, other.HTTPGet.Port = u.Hostname(), intstr.FromInt(number)
	check(t, "another host", address, other, "status 404")
}

// What a manifest says of a header replaces the default, and an empty one removes it; of probes and of hooks.
func TestHeaders(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		seen.Set("Host", r.Host)
		seen.Del("Connection")
	}))
	defer server.Close()
	address := server.Listener.Addr().(*net.TCPAddr)
	target := Target{Host: "127.0.0.1"}
	for name, c := range map[string]struct {
		own  []v1.HTTPHeader
		want http.Header // its User-Agent is a probe's
	}{
		"the defaults": {nil, http.Header{"User-Agent": {probeAgent}, "Accept": {"*/*"}, "Host": {address.String()}}},
		"its own": {
			[]v1.HTTPHeader{{Name: "user-agent", Value: "foo/1.0"}, {Name: "Accept", Value: "text/html"}, {Name: "host", Value: "x.example"}, {Name: "X-Own", Value: "1"}, {Name: "x-own", Value: "2"}},
			http.Header{"User-Agent": {"foo/1.0"}, "Accept": {"text/html"}, "Host": {"x.example"}, "X-Own": {"1", "2"}},
		},
		"empty": {
			[]v1.HTTPHeader{{Name: "User-Agent"}, {Name: "accept"}, {Name: "Host"}, {Name: "X-Own"}},
			http.Header{"Host": {address.String()}, "X-Own": {""}},
		},
		"several": {
			[]v1.HTTPHeader{{Name: "Accept", Value: "text/html"}, {Name: "Accept", Value: "text/plain"}, {Name: "Host", Value: "first.example"}, {Name: "Host", Value: "second.example"}},
			http.Header{"User-Agent": {probeAgent}, "Accept": {"text/html", "text/plain"}, "Host": {"first.example"}},
		},
	} {
		a := &v1.HTTPGetAction{Path: "/", Port: intstr.FromInt(address.Port), Scheme: v1.URISchemeHTTP, HTTPHeaders: c.own}
		if err := Once(t.Context(), &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: a}}, target); err != nil || !reflect.DeepEqual(seen, c.want) {
			t.Errorf("%s, a probe: %v, %v; want %v", name, seen, err, c.want)
		}
		if c.want.Get("User-Agent") == probeAgent {
			c.want.Set("User-Agent", hookAgent)
		}
		if _, err := Hook(t.Context(), &v1.LifecycleHandler{HTTPGet: a}, target); err != nil || !reflect.DeepEqual(seen, c.want) {
			t.Errorf("%s, a hook: %v, %v; want %v", name, seen, err, c.want)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := v1.Probe{ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromString("named")}}}
	check(t, "open", l.Addr().String(), p, "")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, "closed", l.Addr().String(), p, "refused")
}

func TestGRPC(t *testing.T) {
	serve := func(s *grpc.Server) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- s.Serve(l) }()
		t.Cleanup(func() {
			s.Stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return l.Addr().String()
	}
	probe := func(address, service string) v1.Probe {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		return v1.Probe{ProbeHandler: v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: int32(number), Service: &service}}}
	}
	answers := health.NewServer()
	answers.SetServingStatus("sick", healthpb.HealthCheckResponse_NOT_SERVING)
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, answers)
	address := serve(s)
	check(t, "serving", address, probe(address, ""), "")
	check(t, "not serving", address, probe(address, "sick"), `service "sick" at `+address+` is NOT_SERVING`)
	check(t, "unknown service", address, probe(address, "none"), `service "none"`)
	silent := serve(grpc.NewServer())
	check(t, "without health", silent, probe(silent, ""), "does not implement the gRPC health protocol")
}

func TestExec(t *testing.T) {
	p := v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"cmd", "arg"}}}}
	for name, c := range map[string]struct {
		code uint32
		err  error
		want string
	}{
		"success": {}, "failure": {code: 3, want: `command ["cmd" "arg"] ended with exit code 3: said so`},
		"not run": {err: errors.New("no shell"), want: "no shell"},
	} {
		err := Once(t.Context(), &p, Target{Exec: func(_ context.Context, command []string) (uint32, []byte, error) {
			if len(command) != 2 {
				t.Errorf("%s: the command is %q", name, command)
			}
			return c.code, []byte("said so\n"), c.err
		}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

// Who never succeeds is tried at growing intervals, for ever: never more than twice in a period then.
func TestWorkerOfWhatNeverSucceeds(t *testing.T) {
	for name, period := range map[string]int32{"often": 1, "seldom": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				w := Worker{
					Started: time.Now(), Answered: func(time.Duration, error) {},
					Probe: &v1.Probe{PeriodSeconds: period, TimeoutSeconds: 1, FailureThreshold: 3, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{}}},
					Target: Target{Exec: func(context.Context, []string) (uint32, []byte, error) {
						tries++
						return 1, nil, nil
					}},
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				w.Run(ctx)
				periods := int(time.Hour / (time.Duration(period) * time.Second))
				if tries < periods-1 || tries > 2*periods+10 {
					t.Errorf("%d tries in %d periods", tries, periods)
				}
			})
		})
	}
}

// A worker tells of answers that count: early failures do not, a success always does. It goes on until it is told to end.
func TestWorker(t *testing.T) {
	answers := make(chan error)
	tries := 0
	w := Worker{
		Started: time.Now(), Answered: func(_ time.Duration, err error) { answers <- err },
		Probe: &v1.Probe{PeriodSeconds: 1, FailureThreshold: 3, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{}}},
		Target: Target{Exec: func(context.Context, []string) (uint32, []byte, error) {
			tries++
			if tries < 4 {
				return 1, nil, nil
			}
			return 0, nil, nil
		}},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	if err := <-answers; err != nil || tries != 4 {
		t.Errorf("the first answer that counts is %v, after %d tries", err, tries)
	}
	cancel()
	select {
	case <-ended:
	case err := <-answers:
		<-ended
		t.Logf("one more answer was on its way: %v", err)
	}
}
