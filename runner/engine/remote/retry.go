package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// longestPause is how long a pull waits for a registry that asks for it; one that asks for more is an error, and the pod's back-off
	// follows.
	longestPause = 2 * time.Minute
	// mostTries is how often one thing is asked for that a registry is too busy for, or a connection too weak.
	mostTries = 5
	// fewTries is that where the registry does not say when to come again: another may serve the image.
	fewTries = 3
	// firstPause doubles with each try.
	firstPause = time.Second
	// mostDrained is what is read of an answer that nobody wants, in bytes, to keep its connection.
	mostDrained = 64 << 10
)

// transport asks again where a registry is busy, and goes on with an answer whose connection was lost.
type transport struct {
	next   http.RoundTripper
	pauses *pauses
	quiet  time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Body != nil && r.Body != http.NoBody {
		return t.next.RoundTrip(r)
	}
	resp, err := t.ask(r)
	if err == nil {
		t.resumable(r, resp)
	}
	return resp, err
}

func (t *transport) ask(r *http.Request) (*http.Response, error) {
	for try := 1; ; try++ {
		if err := t.pauses.wait(r.Context(), r.URL.Host); err != nil {
			return nil, err
		}
		resp, err := t.next.RoundTrip(r)
		if err != nil {
			if try == fewTries || !reset(err) || r.Context().Err() != nil {
				return nil, err
			}
			if err := sleep(r.Context(), firstPause<<(try-1)); err != nil {
				return nil, err
			}
			continue
		}
		pause, most := comeAgain(resp, try)
		if pause == 0 {
			return resp, nil
		}
		t.pauses.set(r.URL.Host, pause)
		if try >= most && resp.StatusCode != http.StatusTooManyRequests {
			return resp, nil
		}
		io.CopyN(io.Discard, resp.Body, mostDrained) //nolint:errcheck // it may be less
		resp.Body.Close()                            //nolint:errcheck // nobody wants it
		if try >= most {                             // containerd would ask again at once
			return nil, fmt.Errorf("%w: %s has answered %s %d times", ErrBusy, r.URL.Host, resp.Status, try)
		}
	}
}

// reset: the registry has let go of a connection before it answered.
func reset(err error) bool { return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) }

// comeAgain is when to ask again, and how often at most; zero means that an answer is one.
func comeAgain(resp *http.Response, try int) (pause time.Duration, most int) {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0, 0
	}
	if after := retryAfter(resp.Header.Get("Retry-After"), time.Now()); after > 0 {
		return after, mostTries
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return firstPause << (try - 1), mostTries
	}
	return firstPause << (try - 1), fewTries
}

// retryAfter reads the header's two forms (RFC 9110, 10.2.3); zero for neither.
func retryAfter(value string, now time.Time) time.Duration {
	const most = time.Hour // a date of another clock, or a slip, may be far away
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, most)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), most)
	}
	return 0
}

// pauses are when hosts want to be asked again.
type pauses struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func newPauses() *pauses { return &pauses{until: map[string]time.Time{}} }

// mostPauses bounds the hosts that are remembered: an image's name may be anybody's.
const mostPauses = 1000

func (p *pauses) set(host string, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for h, until := range p.until {
		if until.Before(now) {
			delete(p.until, h)
		}
	}
	if until := now.Add(pause); len(p.until) < mostPauses && until.After(p.until[host]) {
		p.until[host] = until
	}
}

// wait returns when a host may be asked.
func (p *pauses) wait(ctx context.Context, host string) error {
	p.mu.Lock()
	until := p.until[host]
	p.mu.Unlock()
	pause := time.Until(until)
	if pause <= 0 {
		return ctx.Err()
	}
	if pause > longestPause {
		return fmt.Errorf("%w: %s asks not to be asked before %s", ErrBusy, host, until.UTC().Format(time.RFC3339))
	}
	return sleep(ctx, pause)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
