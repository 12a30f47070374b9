package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// pipes is a network of one server: whoever dials it has one end of a pipe, and it the other.
type pipes struct {
	made  chan net.Conn
	ended chan struct{}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.made <- there
	return here, nil
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	close(p.ended)
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A registry that stops in the middle of an answer, or never answers, is told from one that is slow.
func TestStalledRegistry(t *testing.T) { synctest.Test(t, stalledRegistry) }

func stalledRegistry(t *testing.T) {
	registries := New("")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow": // all in all longer than a stall
			for range 6 {
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
				<-time.After(registries.quiet - time.Second)
			}
		case "/middle":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			<-r.Context().Done()
		}
	})}
	network := &pipes{make(chan net.Conn), make(chan struct{})}
	go server.Serve(network) //nolint:errcheck // it ends with the test
	defer server.Close()
	base := docker.DefaultHTTPTransport(&tls.Config{})
	base.DialContext = network.dial
	client := &http.Client{Transport: registries.wrap(base)}
	defer base.CloseIdleConnections()
	for path, stalled := range map[string]bool{"/slow": false, "/middle": true, "/never": true} {
		resp, err := client.Get("http://127.0.0.1" + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if errors.Is(err, ErrStalled) != stalled || err != nil && !stalled {
			t.Errorf("%s: %v", path, err)
		}
	}
}
