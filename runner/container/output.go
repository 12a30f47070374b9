package container

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/logs/spool"
	"github.com/solopod/solopod/runner/pod/plan"
)

// outputs are what carries the output of containers. It is safe for concurrent use.
type outputs struct {
	dirs   layout.Dirs
	limits logfile.Limits
	keeper logs.Keeper
	spool  *spool.Spool

	mu   sync.Mutex
	list map[string]*output // by container id
}

func newOutputs(c *Config) *outputs {
	return &outputs{dirs: c.Dirs, limits: c.Limits, keeper: c.Keeper, spool: spool.New(c.Dirs.Unwritten()), list: map[string]*output{}}
}

// output is what carries the output of one container.
type output struct {
	// opened is closed when pump and err are set.
	opened chan struct{}
	pump   *logs.Pump
	err    error
	// finish: it was let go of before it was open, by Delete; by detach if it is false.
	finish bool
}

// pump is what carries a container's output, if that is open.
func (s *outputs) pump(id string) *logs.Pump {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.list[id]
	if o == nil {
		return nil
	}
	return o.pump
}

// open makes or reopens what carries a container's output, once: several effects may ask for it at the same time, and two that
// read the same pipes would tear lines apart. ctx bounds the wait for another effect that is about to open it.
func (s *outputs) open(ctx context.Context, t plan.Target, terminal, stdin bool) (*logs.Pump, error) {
	s.mu.Lock()
	o := s.list[t.ID]
	own := o == nil
	if own {
		o = &output{opened: make(chan struct{})}
		s.list[t.ID] = o
	}
	s.mu.Unlock()
	if !own {
		select {
		case <-o.opened:
			return o.pump, o.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer close(o.opened)
	pump, err := s.openPump(t, terminal, stdin)
	s.mu.Lock()
	kept := s.list[t.ID] == o
	switch {
	case err != nil:
		o.err = err
		if kept {
			delete(s.list, t.ID) // the next one tries again
		}
	case kept:
		o.pump = pump
	default:
		o.err = errLetGo
	}
	s.mu.Unlock()
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
func (s *outputs) take(id string) *logs.Pump {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.list[id]
	if o == nil {
		return nil
	}
	delete(s.list, id)
	o.finish = true
	return o.pump
}

// detach lets go of all outputs. It returns with ctx, and a moment, at the latest.
func (s *outputs) detach(ctx context.Context) {
	s.mu.Lock()
	all := s.list
	s.list = map[string]*output{} // what is not in it gets no pump any more
	s.mu.Unlock()
	var wait sync.WaitGroup
	for id, o := range all {
		if o.pump != nil { // else who opens it lets go of it
			wait.Go(func() { letGo(ctx, id, o.pump, false) })
		}
	}
	wait.Wait()
}

// openPump makes or reopens what carries a container's output.
func (s *outputs) openPump(t plan.Target, terminal, stdin bool) (*logs.Pump, error) {
	file := logfile.New(s.dirs.LogFile(t.Pod, t.Name, t.Attempt), s.limits)
	dir := s.dirs.StreamDir(string(t.Pod.UID), t.Name, t.Attempt)
	return logs.Open(dir, file, logs.Streams{Stdin: stdin, Terminal: terminal, Keeper: s.keeper, Spool: s.spool})
}
