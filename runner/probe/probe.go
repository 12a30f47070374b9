// Package probe checks containers: exec, HTTP, TCP and gRPC, with the kubelet's meanings (pkg/probe and
// pkg/kubelet/prober of Kubernetes).
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/runner/host"
)

// maxOutput is how much of a probe's answer is read, as the kubelet's 10 KiB.
const maxOutput = 10 << 10

// maxMessage bounds what a probe or hook says of its failure, in bytes: it quotes what others have said, and is kept as an event.
const maxMessage = 1 << 10

// Execer runs a command in the probed container; it returns its exit code and output.
type Execer func(ctx context.Context, command []string) (code uint32, output []byte, err error)

// Target is what a probe needs to know of its container.
type Target struct {
	// Host is the pod's address; 127.0.0.1 for a pod with the host's network whose probe names no host.
	Host string
	// HostNetwork: the pod's addresses are all of the machine's.
	HostNetwork bool
	Ports       []v1.ContainerPort
	Exec        Execer
}

// own says whether a probe of this host, empty for none that the manifest names, asks the pod itself.
func (t Target) own(name string) bool {
	if name == "" || name == t.Host {
		return true
	}
	if !t.HostNetwork {
		return false
	}
	addr, ok := netip.AddrFromSlice(net.ParseIP(name))
	if !ok {
		return name == "localhost"
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || host.HasAddress(addr)
}

// Warning is a success that the user should know of.
type Warning struct{ text string }

func (w *Warning) Error() string { return w.text }

// Once runs the probe one time. A nil error is a success, and so is a *Warning; the error of a failure says what was answered.
func Once(ctx context.Context, p *v1.Probe, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	var err error
	switch {
	case p.Exec != nil:
		err = execOnce(ctx, p.Exec, t)
	case p.HTTPGet != nil:
		err = httpOnce(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		err = tcpOnce(ctx, p.TCPSocket, t)
	case p.GRPC != nil:
		err = grpcOnce(ctx, p.GRPC, t)
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %d s: %w", max(p.TimeoutSeconds, 1), err)
	}
	return brief(err)
}

// brief is an error whose text is short and can be kept: it may quote what others have said.
func brief(err error) error {
	if err == nil {
		return nil
	}
	if text := shortened(err.Error()); text != err.Error() {
		return &briefError{text, err}
	}
	return err
}

type briefError struct {
	text  string
	whole error
}

func (b *briefError) Error() string { return b.text }

func (b *briefError) Unwrap() error { return b.whole }

func shortened(text string) string {
	if text = strings.ToValidUTF8(text, "\uFFFD"); len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + " ..."
}

func execOnce(ctx context.Context, a *v1.ExecAction, t Target) error {
	code, output, err := t.Exec(ctx, a.Command)
	if err != nil {
		return fmt.Errorf("command %q: %w", a.Command, err)
	}
	if code != 0 {
		return fmt.Errorf("command %q ended with exit code %d: %s", a.Command, code, strings.TrimSpace(string(output)))
	}
	return nil
}

func tcpOnce(ctx context.Context, a *v1.TCPSocketAction, t Target) error {
	port, err := PortNumber(a.Port, t.Ports)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(hostOr(a.Host, t.Host), port))
	if err != nil {
		return err
	}
	conn.Close() //nolint:errcheck // it was opened: that is the answer
	return nil
}

func grpcOnce(ctx context.Context, a *v1.GRPCAction, t Target) (err error) {
	address := net.JoinHostPort(t.Host, strconv.Itoa(int(a.Port)))
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(grpcCredentials(a)),
		grpc.WithUserAgent(probeAgent), grpc.WithMaxHeaderListSize(maxHeader), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxOutput)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	service := ""
	if a.Service != nil {
		service = *a.Service
	}
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	if status.Code(err) == codes.Unimplemented {
		return fmt.Errorf("the server at %s does not implement the gRPC health protocol: %w", address, err)
	}
	if err != nil {
		return fmt.Errorf("gRPC health check of service %q at %s: %w", service, address, err)
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("gRPC service %q at %s is %s", service, address, resp.GetStatus())
	}
	return nil
}

// grpcCredentials: with TLS the certificate is not verified, as with HTTPS.
func grpcCredentials(a *v1.GRPCAction) credentials.TransportCredentials {
	if a.Mode != nil && *a.Mode == v1.GRPCProbeModeTLS {
		return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see transport
	}
	return insecure.NewCredentials()
}

func hostOr(host, fallback string) string {
	if host != "" {
		return host
	}
	return fallback
}

// PortNumber looks a port of a probe or hook up among the container's.
func PortNumber(p intstr.IntOrString, ports []v1.ContainerPort) (string, error) {
	if p.Type == intstr.Int {
		return strconv.Itoa(p.IntValue()), nil
	}
	for _, port := range ports {
		if port.Name == p.StrVal {
			return strconv.Itoa(int(port.ContainerPort)), nil
		}
	}
	return "", fmt.Errorf("the container has no port named %q", p.StrVal)
}
