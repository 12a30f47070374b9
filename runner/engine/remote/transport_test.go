package remote

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// A registry that stops in the middle of an answer, or never answers, is told from one that is slow.
func TestStalledRegistry(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const quiet = 200 * time.Millisecond
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow": // all in all longer than a stall
			for range 6 {
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
				<-time.After(quiet / 4)
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
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	registries := New("")
	registries.quiet = quiet
	client := &http.Client{Transport: registries.wrap(docker.DefaultHTTPTransport(&tls.Config{}))}
	for path, stalled := range map[string]bool{"/slow": false, "/middle": true, "/never": true} {
		resp, err := client.Get("http://" + listener.Addr().String() + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if errors.Is(err, ErrStalled) != stalled || err != nil && !stalled {
			t.Errorf("%s: %v", path, err)
		}
	}
}
