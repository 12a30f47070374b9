package probe

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// A server that speaks HTTP/2 without TLS, and nothing else.
func TestHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	probe := func(p *v1.HTTPProtocol) error {
		return Once(t.Context(), &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/", Scheme: v1.URISchemeHTTP, Port: intstr.FromInt(port), Protocol: p}}}, Target{Host: "127.0.0.1"})
	}
	if err := probe(ptr.To(v1.HTTPProtocolHTTP2)); err != nil {
		t.Errorf("HTTP/2: %v", err)
	}
	if err := probe(ptr.To(v1.HTTPProtocolHTTP1)); err == nil {
		t.Error("HTTP/1.1 has an answer from a server that speaks HTTP/2 alone")
	}
}

// A gRPC server whose certificate nobody has signed.
func TestGRPCOverTLS(t *testing.T) {
	issuer := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer issuer.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: issuer.TLS.Certificates})))
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener) //nolint:errcheck // it ends with Stop
	defer server.Stop()
	port := int32(listener.Addr().(*net.TCPAddr).Port)
	probe := func(mode *v1.GRPCProbeMode) error {
		return Once(t.Context(), &v1.Probe{ProbeHandler: v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: port, Mode: mode}}}, Target{Host: "127.0.0.1"})
	}
	if err := probe(ptr.To(v1.GRPCProbeModeTLS)); err != nil {
		t.Errorf("TLS: %v", err)
	}
	if err := probe(nil); err == nil {
		t.Error("without TLS there is an answer")
	}
}
