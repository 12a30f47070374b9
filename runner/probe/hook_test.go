package probe

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A hook by HTTPS is done by HTTP when its server speaks no TLS, and after no other error.
func TestHookFallsBackToHTTP(t *testing.T) {
	var authorized, plainRequests atomic.Int32
	handler := http.NewServeMux()
	handler.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			plainRequests.Add(1)
		}
		if r.Header.Get("Authorization") != "" {
			authorized.Add(1)
		}
	})
	handler.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusOK)
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	handler.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(plain.URL, "http:", "https:", 1), http.StatusFound)
	})
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	demanding := httptest.NewUnstartedServer(handler)
	demanding.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	demanding.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of every client
	demanding.StartTLS()
	defer demanding.Close()
	silent := listener(t)
	mute := listener(t) // it says something, and no HTTP
	go func() {
		for {
			conn, err := mute.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("SSH-2.0-x\r\n")) //nolint:errcheck // the client may have gone
			conn.Close()
		}
	}()
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()

	for name, c := range map[string]struct {
		ctx          context.Context
		at           net.Addr
		path         string
		scheme       v1.URIScheme
		falls        bool
		err          string
		plain, asked int32 // requests without TLS, and those with the authorization
	}{
		"a server of HTTP":                {at: plain.Listener.Addr(), path: "/", falls: true, plain: 1},
		"an answer of any status":         {at: plain.Listener.Addr(), path: "/sick", falls: true},
		"an answer that breaks off":       {at: plain.Listener.Addr(), path: "/cut", falls: true},
		"a server of HTTPS":               {at: secure.Listener.Addr(), path: "/", asked: 1},
		"HTTP as the manifest says":       {at: plain.Listener.Addr(), path: "/", scheme: v1.URISchemeHTTP, plain: 1, asked: 1},
		"a redirect to a server of HTTP":  {at: secure.Listener.Addr(), path: "/away", err: "HTTP response to HTTPS client"},
		"a certificate that is asked for": {at: demanding.Listener.Addr(), path: "/", err: "certificate required"},
		"nobody":                          {at: silent.Addr(), path: "/", err: "refused"},
		"another protocol":                {at: mute.Addr(), path: "/", err: "does not look like a TLS handshake"},
		"an end":                          {ctx: ended, at: plain.Listener.Addr(), path: "/", err: "canceled"},
	} {
		authorized.Store(0)
		plainRequests.Store(0)
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		if c.scheme == "" {
			c.scheme = v1.URISchemeHTTPS
		}
		notice, err := Hook(c.ctx, &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{
			Path: c.path, Port: intstr.FromInt(c.at.(*net.TCPAddr).Port), Scheme: c.scheme,
			HTTPHeaders: []v1.HTTPHeader{{Name: "Authorization", Value: "Bearer secret"}},
		}}, Target{Host: "127.0.0.1"})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.err)
		}
		if c.falls != strings.Contains(notice, c.at.String()) || !c.falls && notice != "" {
			t.Errorf("%s: the notice is %q", name, notice)
		}
		if p, a := plainRequests.Load(), authorized.Load(); p != c.plain || a != c.asked {
			t.Errorf("%s: %d requests without TLS and %d with the authorization; want %d and %d", name, p, a, c.plain, c.asked)
		}
	}
	// A probe never falls back.
	https := v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Port: intstr.FromString("named"), Scheme: v1.URISchemeHTTPS}}}
	check(t, "a probe", plain.Listener.Addr().String(), https, "HTTP response to HTTPS client")
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
