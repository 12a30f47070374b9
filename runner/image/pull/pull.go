// Package pull fetches images from registries: each image once at a time, a few images side by side, and no longer than bytes come.
package pull

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/rescue"
)

// Fetch fetches one image, logs in where it is asked to, and returns when ctx ends.
type Fetch func(ctx context.Context, name string, login remote.Login) (engine.Image, error)

// AtOnce bounds how many images are fetched side by side where nothing is set: more share the same link and the same flash.
const AtOnce = 3

// flightLimit bounds one pull with its wait for a slot. The engine's own limit, for the pull alone, is shorter.
const flightLimit = time.Hour

var errFlightLimit = errors.New("the pull has not ended within an hour")

// Puller pulls images. It is safe for concurrent use.
type Puller struct {
	fetch Fetch
	slots chan struct{}

	mu      sync.Mutex
	flights map[string]*flight
}

// flight is the pull of one image, for everyone who wants it.
type flight struct {
	logins  Credentials
	waiting int // under the Puller's mu; nobody: the pull is cancelled
	cancel  context.CancelFunc
	done    chan struct{} // closed when image and err are set
	image   engine.Image
	err     error
}

// New makes a Puller that fetches so many images at once; zero stands for AtOnce.
func New(fetch Fetch, atOnce int) *Puller {
	if atOnce == 0 {
		atOnce = AtOnce
	}
	return &Puller{fetch: fetch, slots: make(chan struct{}, atOnce), flights: map[string]*flight{}}
}

// Pull fetches the image name, which is in its full form. Who asks for an image that is being pulled waits for that pull, and when it
// fails with other credentials tries again with logins. When ctx ends the wait ends at once, and the pull itself when nobody else
// waits for it.
func (p *Puller) Pull(ctx context.Context, name string, logins Credentials) (engine.Image, error) {
	for {
		f, own := p.join(ctx, name, logins)
		select {
		case <-f.done:
		case <-ctx.Done():
			p.leave(name, f)
			return engine.Image{}, context.Cause(ctx)
		}
		if f.err == nil || own || maps.Equal(f.logins, logins) {
			return f.image, f.err
		}
	}
}

// Names are the images that are being pulled.
func (p *Puller) Names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.flights))
}

// join takes part in the pull of an image; own says that it has begun with the caller's credentials.
func (p *Puller) join(ctx context.Context, name string, logins Credentials) (f *flight, own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.flights[name]; f != nil {
		f.waiting++
		return f, false
	}
	// It belongs to all who wait for it, so it does not end with the first of them.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), flightLimit, errFlightLimit)
	f = &flight{logins: maps.Clone(logins), waiting: 1, cancel: cancel, done: make(chan struct{})}
	p.flights[name] = f
	go p.run(ctx, name, f)
	return f, true
}

// leave ends the pull when nobody is left who wants it. The next one who does begins another.
func (p *Puller) leave(name string, f *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		p.drop(name, f)
	}
}

// drop is called with mu held.
func (p *Puller) drop(name string, f *flight) {
	if p.flights[name] == f {
		delete(p.flights, name)
	}
}

func (p *Puller) run(ctx context.Context, name string, f *flight) {
	defer f.cancel()
	select {
	case p.slots <- struct{}{}:
		if f.err = context.Cause(ctx); f.err == nil { // both at once
			f.err = rescue.Do("pull "+name, func() (err error) {
				f.image, err = p.fetch(ctx, name, f.logins.For)
				return f.logins.Hide(err)
			})
		}
		<-p.slots
	case <-ctx.Done():
		f.err = context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(name, f)
	close(f.done)
}
