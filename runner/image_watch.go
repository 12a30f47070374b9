package runner

import (
	"context"
	"errors"
	"time"
)

// WatchImages imports the archives of dir, now and whenever they change, until ctx ends. Pods whose image is missing
// wait for the first round before they try a registry.
func (r *Runner) WatchImages(ctx context.Context, dir string) error {
	return r.images.Watch(ctx, dir, func() {
		r.scanned.Store(true)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, w := range r.workers {
			w.send(imagesScanned{})
		}
	})
}

// imagesScanned: the archives that lay in the images directory at the start have been read.
type imagesScanned struct{}

func (imagesScanned) take(_ context.Context, w *worker) {
	if errors.Is(w.waitsFor, errScan) {
		w.setUpRetry = time.Time{}
	}
	for _, live := range w.live {
		if live.awaitsScan {
			live.awaitsScan, live.retry = false, time.Time{}
		}
	}
}
