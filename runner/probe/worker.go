package probe

import (
	"context"
	"math/rand/v2"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Kind is which of a container's probes it is.
type Kind string

// The three probes of a container.
const (
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
	Startup   Kind = "Startup"
)

// Result is what a probe's thresholds made of its answers.
type Result struct {
	Container string
	Kind      Kind
	// Healthy is the new state.
	Healthy bool
	// Decided: the threshold is reached, so Healthy counts; otherwise this is only a single failure, for an event.
	Decided bool
	// Message says why a probe failed.
	Message string
}

// Worker runs one probe of one running container, from its start to its end.
type Worker struct {
	Kind      Kind
	Container string
	Probe     *v1.Probe
	Target    Target
	// Started is when the container started; the initial delay counts from there.
	Started time.Time
	// Report receives results; it is called from Run's goroutine.
	Report func(Result)
	// Answered is told of each answer, but for failures that do not count.
	Answered func(took time.Duration, err error)
}

// Run probes until ctx ends. A failed liveness or startup probe that has reached its threshold ends it as well: the
// container is going to be stopped, as the kubelet's worker then holds.
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
	eager := w.Kind != Liveness
	if !eager {
		begin = due
	}
	timer := time.NewTimer(max(time.Until(begin), 0))
	defer timer.Stop()
	c := counter{probe: w.Probe, healthy: w.Kind == Liveness}
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
		if counts || err == nil {
			w.Answered(time.Since(now), err)
		}
		if err == nil {
			eager = false
		}
		if (counts || err == nil) && w.answered(&c, err) {
			return
		}
		next := due
		if eager {
			next = earlier(due, time.Now().Add(pause))
			pause *= 2
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

// answered counts one answer and reports it; it returns true when the worker has nothing left to do.
func (w *Worker) answered(c *counter, err error) bool {
	decided := c.count(err == nil)
	if decided || err != nil {
		r := Result{Container: w.Container, Kind: w.Kind, Healthy: c.healthy, Decided: decided}
		if err != nil {
			r.Message = err.Error()
		}
		w.Report(r)
	}
	return decided && w.over(c.healthy)
}

// over: a startup probe ends with its decision; a liveness probe with its failure.
func (w *Worker) over(healthy bool) bool {
	return w.Kind == Startup || w.Kind == Liveness && !healthy
}

// counter applies the thresholds.
type counter struct {
	probe   *v1.Probe
	healthy bool
	known   bool // a decision was reported
	last    bool
	run     int32
}

// count takes one answer and says whether the state was decided: for the first time, or to another value.
func (c *counter) count(success bool) bool {
	if success == c.last && c.run > 0 {
		c.run++
	} else {
		c.last, c.run = success, 1
	}
	threshold := c.probe.FailureThreshold
	if success {
		threshold = c.probe.SuccessThreshold
	}
	if c.run < max(threshold, 1) || c.known && c.healthy == success {
		return false
	}
	c.known, c.healthy = true, success
	return true
}
