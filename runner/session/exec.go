package session

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/solopod/solopod/runner/engine"
)

// Exec runs a command in a container, as its main process's user and with its environment, and returns the exit code. When ctx
// ends first the command is killed.
func (s *Sessions) Exec(ctx context.Context, ns, pod, container string, command []string, sio engine.ExecIO) (uint32, error) {
	in, err := s.enter(ns, pod, container)
	if err != nil {
		return 0, err
	}
	return Run(ctx, s.engine, in.id, s.dirs.ExecDir(in.uid(), in.spec.Name, in.attempt), command, sio)
}

// Run runs a command in the container with this id, as its main process's user and with its environment, and returns the exit
// code. dir is for FIFOs, and is made where it is missing. When ctx ends first the command is killed and ctx's error returned.
func Run(ctx context.Context, e Executor, id, dir string, command []string, sio engine.ExecIO) (uint32, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	process, err := e.Process(ctx, id)
	if err != nil {
		return 0, err
	}
	process.Args, process.Terminal = command, sio.Sizes != nil
	if process.Terminal && !slices.ContainsFunc(process.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		process.Env = append(process.Env, "TERM=xterm")
	}
	return e.Exec(ctx, id, dir, process, sio)
}

// outputLimit is how much of a probe's or hook's output is kept, as by the kubelet.
const outputLimit = 10 << 10

// Output is Run for probes and hooks: without input, and with the beginning of what the command writes.
func Output(ctx context.Context, e Executor, id, dir string, command []string) (code uint32, output []byte, err error) {
	out := &Beginning{Most: outputLimit}
	if code, err = Run(ctx, e, id, dir, command, engine.ExecIO{Stdout: out, Stderr: out}); err != nil {
		return code, nil, err // the command may have been left behind, and write on
	}
	return code, out.Kept, nil
}

// Beginning keeps the first Most bytes of what is written to it, and drops the rest.
type Beginning struct {
	Most int
	Kept []byte
}

func (l *Beginning) Write(b []byte) (int, error) {
	l.Kept = append(l.Kept, b[:max(min(len(b), l.Most-len(l.Kept)), 0)]...)
	return len(b), nil
}
