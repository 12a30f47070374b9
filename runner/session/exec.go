package session

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

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
// code. dir is for FIFOs, and is made where it is missing. When ctx ends first the command is killed and ctx's error returned. Where the
// file system of dir is full a failure is a *NoRoomError.
func Run(ctx context.Context, e Executor, id, dir string, command []string, sio engine.ExecIO) (uint32, error) {
	code, err := run(ctx, e, id, dir, command, sio)
	if err != nil && ctx.Err() == nil && full(dir) {
		err = &NoRoomError{filepath.Dir(dir), err}
	}
	return code, err
}

// NoRoomError says that a command could not be run for a full file system, and not for the container's fault.
type NoRoomError struct {
	dir string
	err error
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("the file system of %s is full; make room there, and try again: %v", e.dir, e.err)
}

// Unwrap is what the runtime says.
func (e *NoRoomError) Unwrap() error { return e.err }

// full says whether the file system of a directory has no room for what the runtime writes to run a command: some small files. Its own
// words for that are many, and few name the reason.
func full(dir string) bool {
	const enough = 64 << 10
	var st unix.Statfs_t
	for unix.Statfs(dir, &st) != nil {
		above := filepath.Dir(dir) // it could not be made
		if above == dir {
			return false
		}
		dir = above
	}
	return st.Bfree*uint64(st.Bsize) < enough || st.Files > 0 && st.Ffree == 0
}

func run(ctx context.Context, e Executor, id, dir string, command []string, sio engine.ExecIO) (uint32, error) {
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
