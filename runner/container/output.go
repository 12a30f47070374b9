package container

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/pod/plan"
)

// output is what carries the output of one container.
type output struct {
	// opened is closed when pump and err are set.
	opened chan struct{}
	pump   *logs.Pump
	err    error
	// finish: it was let go of before it was open, by Delete; by Detach if it is false.
	finish bool
}

// pump is what carries a container's output, if that is open.
func (c *Containers) pump(id string) *logs.Pump {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outputs[id]
	if o == nil {
		return nil
	}
	return o.pump
}

// open makes or reopens what carries a container's output, once: several effects may ask for it at the same time, and two that
// read the same pipes would tear lines apart. ctx bounds the wait for another effect that is about to open it.
func (c *Containers) open(ctx context.Context, t plan.Target, terminal, stdin bool) (*logs.Pump, error) {
	c.mu.Lock()
	o := c.outputs[t.ID]
	own := o == nil
	if own {
		o = &output{opened: make(chan struct{})}
		c.outputs[t.ID] = o
	}
	c.mu.Unlock()
	if !own {
		select {
		case <-o.opened:
			return o.pump, o.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer close(o.opened)
	pump, err := c.openPump(t, terminal, stdin)
	c.mu.Lock()
	kept := c.outputs[t.ID] == o
	switch {
	case err != nil:
		o.err = err
		if kept {
			delete(c.outputs, t.ID) // the next one tries again
		}
	case kept:
		o.pump = pump
	default:
		o.err = errLetGo
	}
	c.mu.Unlock()
	if err == nil && !kept {
		letGo(ctx, t.ID, pump, o.finish)
	}
	return o.pump, o.err
}

// errLetGo: the container went, or Solopod ends, while its output was being opened.
var errLetGo = errors.New("the container's output is no longer wanted")

// letGo ends a pump; finish: its container is gone, and its pipes go, too.
func letGo(ctx context.Context, id string, p *logs.Pump, finish bool) {
	end := p.Detach
	if finish {
		end = p.Finish
	}
	if err := end(ctx); err != nil {
		slog.Warn("cannot let go of a container's log", "id", id, "err", err)
	}
}

// take forgets what carries a container's output, and returns it for the caller to finish; nil when there is none, or when who
// is about to open it will.
func (c *Containers) take(id string) *logs.Pump {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outputs[id]
	if o == nil {
		return nil
	}
	delete(c.outputs, id)
	o.finish = true
	return o.pump
}

// Detach lets go of all that belongs to this process; the containers run on. It returns with ctx, and a moment, at the latest.
func (c *Containers) Detach(ctx context.Context) {
	c.mu.Lock()
	all := c.outputs
	c.outputs = map[string]*output{}
	pumps := map[string]*logs.Pump{}
	for id, o := range all {
		if o.pump != nil { // else who opens it lets go of it
			pumps[id] = o.pump
		}
	}
	c.mu.Unlock()
	var wait sync.WaitGroup
	for id, p := range pumps {
		wait.Go(func() { letGo(ctx, id, p, false) })
	}
	wait.Wait()
}

// openPump makes or reopens what carries a container's output.
func (c *Containers) openPump(t plan.Target, terminal, stdin bool) (*logs.Pump, error) {
	file := logs.NewFile(c.Dirs.LogFile(t.Pod, t.Name, t.Attempt), c.Limits)
	dir := c.Dirs.StreamDir(string(t.Pod.UID), t.Name, t.Attempt)
	return logs.Open(dir, file, logs.Streams{Stdin: stdin, Terminal: terminal, Keeper: c.Keeper, Spool: c.spool})
}
