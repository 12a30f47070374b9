package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Watch is a stream of changes, which begins with what exists. What changes after it was opened is in it.
type Watch[T any] struct {
	ctx  context.Context
	body io.ReadCloser
}

// WatchPods opens a watch of all pods, until ctx ends. The caller must call Each or Close.
func (c *Client) WatchPods(ctx context.Context) (*Watch[WatchEvent], error) {
	return openWatch[WatchEvent](ctx, c, "/pods")
}

// WatchEvents opens a watch of all events, until ctx ends. The caller must call Each or Close.
func (c *Client) WatchEvents(ctx context.Context) (*Watch[EventChange], error) {
	return openWatch[EventChange](ctx, c, "/events")
}

func openWatch[T any](ctx context.Context, c *Client, path string) (*Watch[T], error) {
	body, err := c.do(ctx, http.MethodGet, path, url.Values{"watch": {"true"}}, nil)
	if err != nil {
		return nil, err
	}
	return &Watch[T]{ctx, body}, nil
}

// Each calls each with every change, until the watch's context ends or each returns an error, and closes the watch.
func (w *Watch[T]) Each(each func(T) error) error {
	defer w.Close()
	for d := json.NewDecoder(w.body); ; {
		var e T
		if err := d.Decode(&e); err != nil {
			if w.ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the daemon ended the watch: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Close ends the watch. It can be repeated.
func (w *Watch[T]) Close() { w.body.Close() } //nolint:errcheck // only read from
