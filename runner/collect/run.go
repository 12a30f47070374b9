package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/image/choice"
)

const (
	// longest is between two looks at the images, whatever room there is (the kubelet's ImageGCPeriod).
	longest = 5 * time.Minute
	// shortest is between two, also where images come all the time.
	shortest = 500 * time.Millisecond
	// firstAgain is when it is tried again after there was not enough to be had, or something has failed; it is twice that each time then.
	firstAgain = 10 * time.Second
)

// round is what Run keeps between two looks.
type round struct {
	*Collector
	pace eviction.DiskPace
	// again is how long was waited after the last one that has failed; zero after a good one.
	again time.Duration
	// told are reasons of events that are not told again before all is well.
	told []string
	// failed is why images could not be removed, in this look; others may go nevertheless.
	failed []error
}

// Run removes images as the settings say, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	select {
	case <-c.config.Ready:
	case <-ctx.Done():
		return nil
	}
	r := &round{Collector: c}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.config.Store.Came():
		case <-ctx.Done():
			return nil
		}
		timer.Reset(r.once(ctx))
		soonest := time.NewTimer(shortest)
		select {
		case <-soonest.C:
		case <-ctx.Done():
			soonest.Stop()
			return nil
		}
	}
}

// once removes what has to go, and returns when it has to be looked again.
func (r *round) once(ctx context.Context) time.Duration {
	var next time.Duration
	r.failed = nil
	err := r.turn.Do(ctx, func() (err error) {
		next, err = r.collect(ctx)
		return err
	})
	if ctx.Err() != nil {
		return longest
	}
	failed := errors.Join(r.failed...)
	if err == nil && failed == nil {
		r.again, r.told = 0, nil
		return next
	}
	r.again = min(max(firstAgain, 2*r.again), longest)
	if failed != nil {
		r.tell("ImageGCFailed", fmt.Sprintf("images that nobody uses could not be removed: %v", failed))
	}
	short := new(shortError)
	switch {
	case err == nil:
		return min(next, r.again)
	case errors.As(err, &short):
		r.tell("FreeDiskSpaceFailed", err.Error())
	case errors.Is(err, errUnknown), errors.Is(err, errBusy), errors.Is(err, errStuck): // it passes, or was told
	default:
		r.tell("ImageGCFailed", fmt.Sprintf("images that nobody uses cannot be removed: %v", err))
	}
	return r.again
}

// tell makes an event once for as long as it lasts.
func (r *round) tell(reason, message string) {
	if slices.Contains(r.told, reason) {
		return
	}
	r.told = append(r.told, reason)
	slog.Warn("images are not collected as they should be", "reason", reason, "err", message)
	r.config.Tell("Warning", reason, message)
}

// shortError says that not enough could be had.
type shortError struct {
	missing, capacity uint64
	high              int
	holders           string
}

func (e *shortError) Error() string {
	return fmt.Sprintf("the disk of the images is used to %d %% and more (imageGCHighThresholdPercent), and no more images may be removed: %s of %s would have to become free; %s; what else lies on that disk is not of images",
		e.high, Size(int64(min(e.missing, 1<<62))), Size(int64(min(e.capacity, 1<<62))), e.holders) //nolint:gosec // bounded
}

// errStuck: there would be room, but for images that cannot be removed.
var errStuck = errors.New("not all images could be removed that nobody uses")

func (r *round) collect(ctx context.Context) (next time.Duration, err error) {
	s, now := r.config.Settings, time.Now()
	level, next, err := r.measure(ctx, now)
	if err != nil {
		return next, err
	}
	missing := s.Missing(level.Available, level.Capacity)
	images, err := r.look(ctx, missing > 0 || s.MaxAge > 0)
	if err != nil {
		return next, err
	}
	if s.MaxAge > 0 {
		old := choice.Choose(images, choice.Wish{Need: choice.Everything, MinAge: s.MinAge, Unused: s.MaxAge}, now).Go
		gone, _, err := r.removeAll(ctx, old, forAge)
		if did := told(gone); did != "" {
			r.config.Tell("Normal", "ImagesCollected", fmt.Sprintf("not used for more than %s: %s", s.MaxAge, did))
		}
		if err != nil {
			r.failed = append(r.failed, err)
		}
		images = without(images, old) // what has failed just now is not tried again at once
		next = min(next, untilOld(images, s, now))
	}
	if missing == 0 {
		return next, nil
	}
	return next, r.makeRoom(ctx, images, level)
}

// measure also says how long nothing has to be measured.
func (r *round) measure(ctx context.Context, now time.Time) (l threshold.Level, next time.Duration, err error) {
	if r.config.Level == nil || !r.config.Settings.ByRoom() {
		return l, longest, nil
	}
	if l, err = r.config.Level(ctx); err != nil {
		return l, longest, fmt.Errorf("the disk of the images cannot be measured: %w", err)
	}
	left := r.config.Settings.Left(l.Available, l.Capacity)
	return l, min(r.pace.Next(l, left, now), longest), nil
}

// makeRoom removes one image after the other until there is room, by what is measured: others write and remove things meanwhile. One that
// cannot be removed keeps none of the others.
func (r *round) makeRoom(ctx context.Context, images []choice.Image, level threshold.Level) error {
	s, chosen := r.config.Settings, time.Now()
	var gone []choice.Going
	defer func() {
		if did := told(gone); did != "" {
			r.config.Tell("Normal", "ImagesCollected", "the disk of the images gets full: "+did)
		}
	}()
	for {
		missing := s.Above(level.Available, level.Capacity)
		if missing == 0 {
			return nil
		}
		c := choice.Choose(images, choice.Wish{Need: missing, MinAge: s.MinAge}, chosen)
		if len(c.Go) == 0 {
			if s.Missing(level.Available, level.Capacity) == 0 && len(gone) > 0 {
				return nil // it is not full any more
			}
			if len(r.failed) > 0 {
				return errStuck
			}
			return &shortError{missing, level.Capacity, s.High, c.Holders(Size)}
		}
		first := c.Go[0]
		images = without(images, c.Go[:1])
		switch err := r.remove(ctx, first, chosen, forSpace); {
		case errors.Is(err, errTaken):
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			r.failed = append(r.failed, err)
			continue
		}
		gone = append(gone, first)
		var err error
		if level, err = r.config.Level(ctx); err != nil {
			return fmt.Errorf("the disk of the images cannot be measured: %w", err)
		}
	}
}

// without leaves out images that have gone.
func without(images []choice.Image, gone []choice.Going) []choice.Image {
	return slices.DeleteFunc(slices.Clone(images), func(i choice.Image) bool {
		return slices.ContainsFunc(gone, func(g choice.Going) bool { return g.Digest == i.Digest })
	})
}

// untilOld is how long until the next image has not been used for MaxAge.
func untilOld(images []choice.Image, s choice.Settings, now time.Time) time.Duration {
	next := longest
	for _, i := range images {
		if len(i.Users) == 0 {
			next = min(next, max(i.Last().Add(s.MaxAge).Sub(now)+time.Second, time.Second))
		}
	}
	return next
}
