package api

import (
	"context"
	"net"
	"net/url"

	"github.com/solopod/solopod/api/streaming"
)

// Exec runs a command in a container until it ends. An empty container name means the pod's only one. A streaming.ExitError tells
// the code of a command that failed.
func (c *Client) Exec(ctx context.Context, namespace, pod, container string, command []string, s streaming.Streams) error {
	u := c.streamURL("exec", namespace, pod, container)
	u.RawQuery = url.Values{"command": command}.Encode()
	return streaming.Run(ctx, c.dial, u, s)
}

// Attach connects to a container's main process until it ends, or ctx does.
func (c *Client) Attach(ctx context.Context, namespace, pod, container string, s streaming.Streams) error {
	return streaming.Run(ctx, c.dial, c.streamURL("attach", namespace, pod, container), s)
}

// PortForward opens a connection that carries others to ports of a pod. The caller must Close it.
func (c *Client) PortForward(ctx context.Context, namespace, pod string) (*streaming.Forwarder, error) {
	return streaming.NewForwarder(ctx, c.dial, c.streamURL("portForward", namespace, pod))
}

func (c *Client) streamURL(parts ...string) *url.URL {
	u := &url.URL{Scheme: "http", Host: "solopod", Path: "/"}
	for i, part := range parts {
		if i == 3 && part == "" {
			part = "-"
		}
		u = u.JoinPath(url.PathEscape(part))
	}
	return u
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, c.explain(err)
	}
	return conn, nil
}
