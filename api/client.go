package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/streaming"
)

// Client talks to a daemon over its unix socket. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client; the socket is dialled with each request.
func NewClient(socket string) *Client {
	return &Client{socket, &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}
}

// do sends a request and returns the body of a good answer, which the caller must close.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "solopod", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	return nil, streaming.Refusal(resp)
}

// explain says what to do about a daemon that cannot be reached.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no daemon listens on %s: start it with \"solopod run\", or name its socket with --socket or $SOLOPOD_SOCKET", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be used by this user: run the command as root%s", c.socket, orAsMember(c.socket))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("the daemon ended before it had answered")
	}
	return err
}

// orAsMember names the group whose members may use a socket, where it is not root's.
func orAsMember(socket string) string {
	const otherwise = ", or name a group in the daemon's configuration (socketGroup)"
	info, err := os.Stat(socket)
	if err != nil {
		return otherwise
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Gid == 0 {
		return otherwise
	}
	name := strconv.Itoa(int(st.Gid))
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	return fmt.Sprintf(", or become a member of the group %s (usermod -aG %s USER)", name, name)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.send(ctx, http.MethodGet, path, query, nil, out)
}

// tell is for what is answered with no more than that it was done.
func (c *Client) tell(ctx context.Context, method, path string, query url.Values, in io.Reader) error {
	body, err := c.do(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	return body.Close()
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, in io.Reader, out any) error {
	body, err := c.do(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return nil
}

// Pods returns all pods with their status.
func (c *Client) Pods(ctx context.Context) ([]v1.Pod, error) {
	var list v1.PodList
	err := c.get(ctx, "/pods", nil, &list)
	return list.Items, err
}

// Events returns what happened, the oldest first.
func (c *Client) Events(ctx context.Context) ([]v1.Event, error) {
	var list v1.EventList
	err := c.get(ctx, "/events", nil, &list)
	return list.Items, err
}

// Manifests returns the manifest files and their state.
func (c *Client) Manifests(ctx context.Context) (Manifests, error) {
	var m Manifests
	err := c.get(ctx, "/manifests", nil, &m)
	return m, err
}

// ConfigOf returns the configuration of a client's daemon, by the names of its fields.
func ConfigOf(ctx context.Context, c *Client) (map[string]any, error) {
	var of map[string]map[string]any
	err := c.get(ctx, "/configz", nil, &of)
	return of["solopodconfig"], err
}

// Version returns the daemon's version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.get(ctx, "/version", nil, &v)
	return v, err
}

// Images lists the images.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	var list Images
	err := c.get(ctx, "/images", nil, &list)
	return list.Images, err
}

// ImportImages sends an archive.
func (c *Client) ImportImages(ctx context.Context, archive io.Reader) ([]Image, error) {
	var list Images
	err := c.send(ctx, http.MethodPost, "/images", nil, archive, &list)
	return list.Images, err
}

// PullImage has the daemon pull an image.
func (c *Client) PullImage(ctx context.Context, ref string) ([]Image, error) {
	var list Images
	err := c.send(ctx, http.MethodPost, "/images/pull", url.Values{"ref": {ref}}, nil, &list)
	return list.Images, err
}

// RemoveImage removes an image; one that somebody uses with force alone.
func (c *Client) RemoveImage(ctx context.Context, ref string, force bool) error {
	return c.tell(ctx, http.MethodDelete, "/images", url.Values{"ref": {ref}, "force": {strconv.FormatBool(force)}}, nil)
}

// Ask asks a client's daemon for what lies in a package of its own, as unused and rollouts. out takes the answer.
func Ask(ctx context.Context, c *Client, method, path string, query url.Values, out any) error {
	return c.send(ctx, method, path, query, nil, out)
}

// ApplyBundle sends a bundle to a client's daemon, which verifies and applies it; force has it take an older version too.
func ApplyBundle(ctx context.Context, c *Client, bundle io.Reader, force bool, out any) error {
	return c.send(ctx, http.MethodPost, "/bundles", url.Values{"force": {strconv.FormatBool(force)}}, bundle, out)
}

// LogOptions select what Logs writes.
type LogOptions struct {
	Follow, Previous, Timestamps bool
	Tail                         int64         // negative: all
	Since                        time.Duration // zero: all
	SinceTime                    time.Time     // zero: all; at most one of both
	LimitBytes                   int64         // zero: no limit
}

// Logs writes a container's log to w. An empty container name means the pod's only one.
func (c *Client) Logs(ctx context.Context, namespace, pod, container string, o LogOptions, w io.Writer) error {
	q := url.Values{}
	for name, set := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if set {
			q.Set(name, "true")
		}
	}
	if o.Tail >= 0 {
		q.Set("tailLines", strconv.FormatInt(o.Tail, 10))
	}
	if !o.SinceTime.IsZero() {
		q.Set("sinceTime", o.SinceTime.Format(time.RFC3339Nano))
	}
	if o.LimitBytes > 0 {
		q.Set("limitBytes", strconv.FormatInt(o.LimitBytes, 10))
	}
	if o.Since > 0 {
		q.Set("sinceTime", time.Now().Add(-o.Since).Format(time.RFC3339Nano))
	}
	if container == "" {
		container = "-"
	}
	body, err := c.do(ctx, http.MethodGet, "/containerLogs/"+namespace+"/"+pod+"/"+container, q, nil)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read from
	broken := &reading{r: body}
	_, err = io.Copy(w, broken)
	switch {
	case ctx.Err() != nil:
		return nil
	case broken.err != nil:
		return fmt.Errorf("the daemon ended the log before its end: %w", broken.err)
	}
	return err
}

// reading remembers what reading failed with; it is nil at the end.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
