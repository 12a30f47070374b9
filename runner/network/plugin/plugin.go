// Package plugin runs CNI plugins, and keeps what they gave: programs of others, which ask further daemons, and hang when these do.
package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"golang.org/x/sys/unix"
)

const (
	// killDelay is for a plugin to end after SIGKILL, and for the output of one that has ended while a child of its holds it open.
	killDelay = time.Second
	// busyDelay is between two tries to run a plugin that is just being written.
	busyDelay = 200 * time.Millisecond
	// MaxOutput is how much a plugin may write, in bytes; a result has some hundred.
	MaxOutput = 1 << 20
)

// Exec runs CNI plugins so that they end with their context, together with their children: libcni's own way waits for a
// child that holds the plugin's output, and does not kill it.
type Exec struct {
	invoke.RawExec
	version.PluginDecoder
}

// ExecPlugin implements invoke.Exec.
func (*Exec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	for {
		out, err := run(ctx, path, stdin, environ)
		if !errors.Is(err, unix.ETXTBSY) {
			return out, err
		}
		select {
		case <-time.After(busyDelay):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func run(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var stdout, stderr beginning
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, bytes.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) } // it leads its group, and is not buried yet
	cmd.WaitDelay = killDelay
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	select {
	case err := <-ended:
		return result(ctx, path, err, &stdout, &stderr)
	case <-ctx.Done():
	}
	// SIGKILL is on its way. Who sleeps in the kernel does not see it, and is left behind.
	select {
	case err := <-ended:
		return result(ctx, path, err, &stdout, &stderr)
	case <-time.After(2 * killDelay):
		return nil, fmt.Errorf("CNI plugin %s does not end, not even when it is killed: %w", filepath.Base(path), ctx.Err())
	}
}

// result is the output of a plugin that has ended well, or the error that it tells (CNI specification, section 5).
func result(ctx context.Context, path string, err error, stdout, stderr *beginning) ([]byte, error) {
	name := filepath.Base(path)
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // a child that lives on holds the output
		return stdout.kept, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("CNI plugin %s was killed: %w", name, ctx.Err())
	case errors.Is(err, unix.ETXTBSY):
		return nil, err
	}
	told := &types.Error{}
	if json.Unmarshal(stdout.kept, told) == nil && told.Msg != "" {
		return nil, told
	}
	if text := strings.TrimSpace(string(stderr.kept)); text != "" {
		return nil, fmt.Errorf("CNI plugin %s failed: %w: %s", name, err, text)
	}
	return nil, fmt.Errorf("CNI plugin %s failed: %w", name, err)
}

// beginning keeps as much as a plugin may write, and drops the rest.
type beginning struct{ kept []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), MaxOutput-len(b.kept))]...)
	return len(p), nil
}
