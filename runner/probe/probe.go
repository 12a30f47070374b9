// Package probe checks containers: exec, HTTP, TCP and gRPC, with the kubelet's meanings (pkg/probe and
// pkg/kubelet/prober of Kubernetes).
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
)

// maxOutput is how much of a probe's answer is kept for messages, as the kubelet's 10 KiB.
const maxOutput = 10 << 10

// Execer runs a command in the probed container; it returns its exit code and output.
type Execer func(ctx context.Context, command []string) (code uint32, output []byte, err error)

// Target is what a probe needs to know of its container.
type Target struct {
	// Host is the pod's address; 127.0.0.1 for a pod with the host's network whose probe names no host.
	Host  string
	Ports []v1.ContainerPort
	Exec  Execer
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
		return fmt.Errorf("no answer within %d s: %w", max(p.TimeoutSeconds, 1), err)
	}
	return err
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

// transport accepts any certificate: the kubelet does not verify them either, and the manifests of control planes rely
// on that. Connections are not kept, so that each probe tries a new one.
var transport = &http.Transport{
	TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	DisableKeepAlives:  true,
	DisableCompression: true,
	Proxy:              nil,
}

func httpRequest(ctx context.Context, a *v1.HTTPGetAction, t Target, agent string) (*http.Request, error) {
	port, err := PortNumber(a.Port, t.Ports)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(a.Path)
	if err != nil { // something that is no URL is taken as a path
		target = &url.URL{Path: a.Path}
	}
	target.Scheme = strings.ToLower(string(a.Scheme))
	target.Host = net.JoinHostPort(hostOr(a.Host, t.Host), port)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = headers(a.HTTPHeaders, agent)
	req.Host = req.Header.Get("Host") // of several the first; without one, or with an empty one, the URL's
	return req, nil
}

// User agents of probes and of hooks.
const (
	probeAgent = "kube-probe/1.0 (solopod)"
	hookAgent  = "kube-lifecycle/1.0 (solopod)"
)

// headers are those of the manifest, and the defaults for what it does not name. As with the kubelet (pkg/probe/http,
// request.go) a name given there replaces the default, and an empty value keeps the header from being sent.
func headers(own []v1.HTTPHeader, agent string) http.Header {
	out := http.Header{}
	for _, h := range own {
		out.Add(h.Name, h.Value)
	}
	if _, given := out["User-Agent"]; !given { // an empty one is not sent by net/http
		out.Set("User-Agent", agent)
	}
	if _, given := out["Accept"]; !given {
		out.Set("Accept", "*/*")
	} else if out.Get("Accept") == "" {
		out.Del("Accept")
	}
	return out
}

// cleartextHTTP2 speaks HTTP/2 without TLS from the first byte (h2c with prior knowledge).
var cleartextHTTP2 = func() *http.Transport {
	t := transport.Clone()
	t.TLSClientConfig = nil
	t.Protocols = new(http.Protocols)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}()

func transportFor(a *v1.HTTPGetAction) http.RoundTripper {
	if a.Protocol != nil && *a.Protocol == v1.HTTPProtocolHTTP2 {
		return cleartextHTTP2
	}
	return transport
}

func httpOnce(ctx context.Context, a *v1.HTTPGetAction, t Target) error {
	req, err := httpRequest(ctx, a, t, probeAgent)
	if err != nil {
		return err
	}
	status, body, err := ask(req, transportFor(a))
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(body[:min(len(body), 256)]))
	switch {
	case status >= 300 && status < 400: // it counts as a success, as with the kubelet
		return &Warning{fmt.Sprintf("the redirect to another host (status %d) was not followed: %s", status, text)}
	case status >= 200 && status < 300:
		return nil
	}
	return fmt.Errorf("HTTP probe failed with status %d: %s", status, text)
}

// ask sends the request of a probe or hook and returns the answer's status and the beginning of its body.
func ask(req *http.Request, through http.RoundTripper) (status int, body []byte, err error) {
	client := &http.Client{Transport: through, CheckRedirect: stayOnHost}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	return resp.StatusCode, body, err
}

func stayOnHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
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
		grpc.WithUserAgent(probeAgent))
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
