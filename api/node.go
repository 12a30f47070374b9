package api

import (
	"context"
	"net/http"
	"net/url"

	v1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/solopod/solopod/api/answer"
)

func (s *Server) node(w http.ResponseWriter, _ *http.Request) {
	answer.JSON(w, s.runner.Node(s.version.Version))
}

// Node describes the machine.
func (c *Client) Node(ctx context.Context) (*v1.Node, error) {
	node := &v1.Node{}
	return node, c.get(ctx, "/node", nil, node)
}

// Summary is what pods and the machine use.
func (c *Client) Summary(ctx context.Context) (*stats.Summary, error) {
	s := &stats.Summary{}
	return s, c.send(ctx, http.MethodGet, "/stats/summary", url.Values{"only_cpu_and_memory": {"true"}}, nil, s)
}

// Restart has a container of a pod restarted, or all of them when its name is empty. It returns when their end has begun.
func (c *Client) Restart(ctx context.Context, namespace, pod, container string) error {
	return c.tell(ctx, http.MethodPost, "/restart/"+url.PathEscape(namespace)+"/"+url.PathEscape(pod), url.Values{"container": {container}}, nil)
}
