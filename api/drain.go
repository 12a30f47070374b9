package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/solopod/solopod/api/answer"
)

// drain stops all pods for good and answers when they have ended. It goes on when the client is lost.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || timeout <= 0 {
		answer.Fail(w, http.StatusBadRequest, fmt.Errorf("timeout is a duration like 5m, not %q", r.URL.Query().Get("timeout")))
		return
	}
	// A third is kept for critical pods, which are stopped last.
	s.runner.Drain(context.WithoutCancel(r.Context()), timeout, timeout/3)
	answer.Text(w, "ok")
}

// Drain stops all pods, critical ones last, and waits until they have ended. The daemon starts none again until it is
// started anew itself.
func (c *Client) Drain(ctx context.Context, timeout time.Duration) error {
	return c.tell(ctx, http.MethodPost, "/drain", url.Values{"timeout": {timeout.String()}}, nil)
}
