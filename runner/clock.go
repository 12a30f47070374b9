package runner

import (
	"context"
	"log/slog"
	"time"

	"github.com/solopod/solopod/runner/clock"
)

// watchClock moves the times that were kept along when the clock is set. So back-off, uptime and what is shown of them
// stay right on a machine that learns the time after its pods have started.
func (r *Runner) watchClock(ctx context.Context) {
	err := clock.Watch(ctx, func(moved time.Duration) {
		slog.Info("the clock was set; what was noted since the boot is moved along", "by", moved)
		r.events.Move(moved)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, w := range r.workers {
			w.send(clockMoved{})
		}
	})
	if err != nil {
		slog.Warn("when the clock is set, times and back-off of what runs will be off", "err", err)
	}
}

// clockMoved: the clock was set. The record knows for which clock its times are.
type clockMoved struct{}

func (clockMoved) take(_ context.Context, w *worker) { w.rec.followClock() }

// followClock moves the times of this boot to the clock as it is now. Times of earlier boots stay: their clock may have
// been right.
func (r *record) followClock() {
	moved := clock.Moved(r.ClockOffset)
	if moved == 0 {
		return
	}
	booted := clock.Booted(r.ClockOffset)
	move := func(t *time.Time) {
		if !t.IsZero() && !t.Before(booted) {
			*t = t.Add(moved)
		}
	}
	move(&r.StartTime)
	if r.Failed != nil {
		move(&r.Failed.Revive)
	}
	for i := range r.Conditions {
		move(&r.Conditions[i].LastTransitionTime.Time)
	}
	for _, c := range r.Containers {
		move(&c.StartedAt)
		move(&c.Backoff.Set)
		for _, e := range []*ending{c.Ended, c.Last} {
			if e != nil {
				move(&e.StartedAt)
				move(&e.FinishedAt)
			}
		}
	}
	r.ClockOffset += moved
}

// wallNow is the time for records: without the reading of the process's own clock that Go adds to it, as times that are
// moved along must be compared by the wall clock alone.
func wallNow() time.Time { return time.Now().Round(0) }
