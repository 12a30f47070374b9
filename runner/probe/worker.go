package probe

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Worker runs one probe of one running container, from its start to its end.
type Worker struct {
	Probe *v1.Probe
	// Liveness: the container counts as alive until it fails, so that nothing is gained by an early answer.
	Liveness bool
	Target   Target
	// Started is when the container started; the initial delay counts from there.
	Started time.Time
	// Answered is told of each answer as Once gives it, but for failures that do not count; it is called from Run's goroutine.
	Answered func(took time.Duration, err error)
}

// Run probes until ctx ends. What becomes of the answers is decided by others.
//
// A container is up within milliseconds here, and its first probe would often come too early. So without an initial
// delay the first probe that counts comes after a second, about when the kubelet's does; and until a readiness or
// startup probe has succeeded once, it is also tried in between, where a success counts and a failure does not. A pod
// becomes ready when it is, not up to a period later.
func (w *Worker) Run(ctx context.Context) {
	period := time.Duration(max(w.Probe.PeriodSeconds, 1)) * time.Second
	// By the process's own clock from here on: the machine's may be set.
	started := time.Now().Add(-max(time.Since(w.Started), 0))
	begin := started.Add(time.Duration(w.Probe.InitialDelaySeconds) * time.Second)
	due := begin
	if w.Probe.InitialDelaySeconds == 0 {
		due = begin.Add(min(period, settle))
	}
	if time.Since(started) > period {
		// Adopted after a restart of Solopod: spread the probes of many containers, as the kubelet does.
		due = time.Now().Add(rand.N(period))
		begin = due
	}
	eager := !w.Liveness
	if !eager {
		begin = due
	}
	timer := time.NewTimer(max(time.Until(begin), 0))
	defer timer.Stop()
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		counts := !now.Before(due)
		if counts {
			due = now.Add(period)
		}
		err := Once(ctx, w.Probe, w.Target)
		if ctx.Err() != nil {
			return
		}
		success := err == nil || errors.As(err, new(*Warning))
		if counts || success {
			w.Answered(time.Since(now), err)
		}
		if success {
			eager = false
		}
		next := due
		if eager {
			next = earlier(due, time.Now().Add(pause))
			pause = min(2*pause, period)
		}
		timer.Reset(max(time.Until(next), 0))
	}
}

const (
	settle     = time.Second
	firstPause = 50 * time.Millisecond
)

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
