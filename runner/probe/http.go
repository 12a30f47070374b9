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
	"strings"

	v1 "k8s.io/api/core/v1"
)

// transport accepts any certificate: the kubelet does not verify them either, and the manifests of control planes rely
// on that. Connections are not kept, so that each probe tries a new one.
var transport = &http.Transport{
	DialContext:        dial,
	DialTLSContext:     dialTLS,
	DisableKeepAlives:  true,
	DisableCompression: true,
	Proxy:              nil,
	// What is kept of headers while they come: net/http takes 10 MiB by itself, of each of many probes.
	MaxResponseHeaderBytes: maxHeader,
}

// maxHeader bounds the headers of an answer.
const maxHeader = 64 << 10

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
	t.DialTLSContext = nil
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

// httpOnce says what was answered only when the probed container itself has: a manifest, or the container's redirect, may name any
// address that this machine reaches, and whoever reads events would read what is said there.
func httpOnce(ctx context.Context, a *v1.HTTPGetAction, t Target) error {
	req, err := httpRequest(ctx, a, t, probeAgent)
	if err != nil {
		return err
	}
	got, err := ask(req, transportFor(a))
	own := t.own(a.Host) && !got.elsewhere
	if err != nil && !own {
		err = withoutAnswer(err)
	}
	if err != nil {
		return err
	}
	said := ""
	if own {
		said = ": " + strings.TrimSpace(string(got.body))
	}
	switch {
	case got.status >= 300 && got.status < 400: // it counts as a success, as with the kubelet
		return &Warning{shortened(fmt.Sprintf("the redirect to another host (status %d) was not followed%s", got.status, said))}
	case got.status >= 200 && got.status < 300:
		return nil
	}
	return fmt.Errorf("HTTP probe failed with status %d%s", got.status, said)
}

// answer is what came of a request.
type answer struct {
	status int // zero when there was no answer
	body   []byte
	// elsewhere: a redirect led to another address or port than was asked.
	elsewhere bool
}

// ask sends the request of a probe or hook and reads the beginning of its answer.
func ask(req *http.Request, through http.RoundTripper) (answer, error) {
	var out answer
	client := &http.Client{Transport: through, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if err := stayOnHost(next, via); err != nil {
			return err
		}
		out.elsewhere = out.elsewhere || next.URL.Host != req.URL.Host
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	out.status = resp.StatusCode
	out.body, err = io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	return out, err
}

// stayOnHost follows redirects as the kubelet: to the host that was asked, on whatever port.
func stayOnHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// withoutAnswer is the error of a request, without what the other side has sent: net/http quotes what is no HTTP. What this machine
// has found by itself is kept.
func withoutAnswer(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return errors.New("the answer breaks off") // of the body
	}
	var certificate *tls.CertificateVerificationError
	switch cause := failed.Err; {
	case errors.As(cause, new(net.Error)), errors.As(cause, &certificate), errors.As(cause, new(tls.AlertError)), errors.As(cause, new(tls.RecordHeaderError)),
		errors.Is(cause, http.ErrSchemeMismatch), errors.Is(cause, context.Canceled), errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return err
	}
	return &url.Error{Op: failed.Op, URL: failed.URL, Err: errors.New("the answer is no HTTP that can be read")}
}
