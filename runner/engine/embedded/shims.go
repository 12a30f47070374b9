package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/core/runtime"
	shims "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/rescue"
)

// containerd gives each shim that it finds at its start a few seconds (io.containerd.timeout.shim.load). One that has not answered by then
// it takes for dead, and kills its container; it loads them before it serves anything. A shim that is swapped out, frozen, or waits
// for a disk is not dead. So all are asked beforehand, at once: what does not answer is hidden from containerd while it starts, and
// loaded when it does answer.

// askLimit is how long the start waits for shims that do not answer. A living one takes a millisecond.
const askLimit = 2 * time.Second

// loadLimit is containerd's own limit, for a shim that has just answered.
const loadLimit = 20 * time.Second

// endLimit bounds the end of a container whose shim has died.
const endLimit = 10 * time.Second

// hidden is what a bundle's name begins with while containerd must not see it; it skips names that begin with a dot.
const hidden = ".silent-"

// maxBootstrap bounds the file in which containerd keeps how to reach a shim.
const maxBootstrap = 64 << 10

// bundle is the directory in which containerd keeps what it knows of one container's shim.
type bundle struct {
	id, path string
	// From its bootstrap.json (containerd, core/runtime/v2/shim.go).
	Version  uint32 `json:"version"`
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
}

func namespaceDir(state string) string { return filepath.Join(state, taskDir, engine.Namespace) }

// readBundles lists the bundles whose shim can be reached; the others are containerd's to clear up.
func readBundles(state string) (list []bundle) {
	dir := namespaceDir(state)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		b := bundle{id: e.Name(), path: filepath.Join(dir, e.Name())}
		data, err := durable.ReadFile(filepath.Join(b.path, "bootstrap.json"), maxBootstrap)
		if err == nil && json.Unmarshal(data, &b) == nil && b.socket() != "" && !strings.HasPrefix(b.id, ".") {
			list = append(list, b)
		}
	}
	return list
}

// socket is the path of the shim's socket.
func (b bundle) socket() string {
	if path, ok := strings.CutPrefix(b.Address, "unix://"); ok && b.Protocol == "ttrpc" {
		return path
	}
	return ""
}

// sleepers are the containers whose shim has not answered.
type sleepers struct {
	state, address string
	woken          chan struct{}
	load           func(context.Context, bundle) error

	mu  sync.Mutex
	ids map[string]bool
}

func newSleepers(state, address string) *sleepers {
	s := &sleepers{state: state, address: address, woken: make(chan struct{}, 1), ids: map[string]bool{}}
	s.load = s.loadShim
	return s
}

func (s *sleepers) silent(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// find asks the shims of all bundles, and returns those that do not answer, by socket: the containers of a pod share one.
func (s *sleepers) find(ctx context.Context, bundles []bundle) map[string][]bundle {
	bySocket := map[string][]bundle{}
	for _, b := range bundles {
		bySocket[b.socket()] = append(bySocket[b.socket()], b)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var mu sync.Mutex
	silent := map[string][]bundle{}
	var group sync.WaitGroup
	for socket, list := range bySocket {
		group.Go(func() {
			if err := ask(ctx, list[0]); errors.Is(err, errSilent) {
				mu.Lock()
				defer mu.Unlock()
				silent[socket] = list
			}
		})
	}
	group.Wait()
	for _, list := range silent {
		for _, b := range list {
			slog.Warn("a container's shim does not answer; its container is left alone until it does", "id", b.id)
			s.ids[b.id] = true
		}
	}
	return silent
}

// errSilent: the shim's socket is there, and there is no answer.
var errSilent = errors.New("the shim does not answer")

// ask has a shim say which process it watches, and waits for the answer until ctx ends. Any answer is one, an error too; only where
// ctx ended first, or the shim has no room for a connection, it is errSilent. Another error says that there is no shim any more.
//
// A shim begins by opening its log, a FIFO, and waits there for a reader, before it answers anybody: one that was being started when
// Solopod was killed would wait for ever. So its log has a reader meanwhile; what it writes later is containerd's to read.
func ask(ctx context.Context, b bundle) error {
	if log, err := foreign.OpenFIFO(filepath.Join(b.path, "log"), os.O_RDONLY); err == nil {
		defer log.Close() //nolint:errcheck // nothing is written
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", b.socket())
	if ctx.Err() != nil || errors.Is(err, unix.EAGAIN) {
		return errSilent
	}
	if err != nil {
		return err
	}
	client := ttrpc.NewClient(conn)
	defer client.Close() //nolint:errcheck // nothing is under way
	service := "containerd.task.v3.Task"
	if b.Version < 3 {
		service = "containerd.task.v2.Task"
	}
	err = client.Call(ctx, service, "Connect", &taskapi.ConnectRequest{ID: b.id}, &taskapi.ConnectResponse{})
	switch {
	case errors.Is(err, ttrpc.ErrClosed):
		return err
	case ctx.Err() != nil:
		return errSilent
	}
	return nil
}

// hide keeps bundles from containerd until show is called.
func hide(silent map[string][]bundle) (show func(), err error) {
	show = func() {
		for _, list := range silent {
			for _, b := range list {
				if err := os.Rename(hiddenPath(b.path), b.path); err != nil && !os.IsNotExist(err) {
					slog.Error("cannot show a container to containerd again", "id", b.id, "err", err)
				}
			}
		}
	}
	for _, list := range silent {
		for _, b := range list {
			if err := os.Rename(b.path, hiddenPath(b.path)); err != nil {
				show()
				return nil, fmt.Errorf("cannot keep containerd from a container whose shim does not answer: %w", err)
			}
		}
	}
	return show, nil
}

func hiddenPath(path string) string {
	return filepath.Join(filepath.Dir(path), hidden+filepath.Base(path))
}

// showAll shows what a start that was killed has hidden.
func showAll(state string) error {
	paths, err := filepath.Glob(filepath.Join(namespaceDir(state), hidden+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		shown := filepath.Join(filepath.Dir(path), strings.TrimPrefix(filepath.Base(path), hidden))
		if err := os.Rename(path, shown); err != nil {
			return fmt.Errorf("cannot show a container to containerd again: %w", err)
		}
	}
	return nil
}

// askAgain is the pause before a shim is asked again that has no room for a connection, or could not be loaded; after failures it
// grows up to lastAgain.
const (
	askAgain  = time.Second
	lastAgain = time.Minute
)

// await waits until a shim answers, or is gone, and has containerd know of its containers then. What fails is tried again: without it
// a container could not be stopped. It waits for ctx's end, not for a time.
func (s *sleepers) await(ctx context.Context, list []bundle) {
	failures := 0
	for pause := askAgain; ; {
		err := ask(ctx, list[0])
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errSilent) {
			if list = s.wake(ctx, list, err, failures == 0); len(list) == 0 {
				return
			}
			if failures++; failures > 1 {
				pause = min(2*pause, lastAgain)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// wake has containerd know of the containers of a shim that answers, or is gone for the reason given. It returns those of which that
// has failed, and tells of it if it is to.
func (s *sleepers) wake(ctx context.Context, list []bundle, gone error, tell bool) (left []bundle) {
	for _, b := range list {
		if gone != nil {
			slog.Warn("the shim of a container is gone; what is left of the container is removed", "id", b.id, "err", gone)
			s.clear(ctx, b)
		} else if err := rescue.Do("load a shim", func() error { return s.load(ctx, b) }); err != nil {
			if tell && ctx.Err() == nil {
				slog.Error("a container's shim answers again and cannot be loaded; that is tried again", "id", b.id, "err", err)
			}
			left = append(left, b)
			continue
		} else {
			slog.Info("a container's shim answers again", "id", b.id)
		}
		s.mu.Lock()
		delete(s.ids, b.id)
		s.mu.Unlock()
	}
	if len(left) < len(list) {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	}
	return left
}

// loadShim has containerd connect to a shim that runs. Its manager does so for a container in a sandbox whose shim has an address;
// each of ours has a sandbox record of its own name (engine.Create).
func (s *sleepers) loadShim(ctx context.Context, b bundle) error {
	p := parts.Load()
	if p == nil {
		return errors.New("containerd has no shim manager")
	}
	binary, err := durable.ReadFile(filepath.Join(b.path, "shim-binary-path"), maxBootstrap)
	if err != nil {
		return err
	}
	ctx = namespaces.WithNamespace(ctx, engine.Namespace)
	_, err = p.sandboxes.Create(ctx, sandbox.Sandbox{ID: b.id, Runtime: sandbox.RuntimeOpts{Name: string(binary)}, Sandboxer: "podsandbox"})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	loaded, err := shims.LoadBundle(ctx, filepath.Join(s.state, taskDir), b.id)
	if err != nil {
		return err
	}
	_, err = p.manager.Start(ctx, b.id, loaded, runtime.CreateOpts{
		SandboxID: b.id, Runtime: string(binary), Address: b.Protocol + "+" + b.Address, Version: b.Version,
	})
	if errdefs.IsAlreadyExists(err) { // an earlier try was not told of its success
		return nil
	}
	return err
}

// clear does for a shim that has died what containerd does when it sees one die: its own binary kills the container.
func (s *sleepers) clear(ctx context.Context, b bundle) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, engine.Namespace), endLimit)
	defer cancel()
	binary, err := durable.ReadFile(filepath.Join(b.path, "shim-binary-path"), maxBootstrap)
	if err != nil {
		slog.Error("cannot clear up after a shim", "id", b.id, "err", err)
		return
	}
	cmd := exec.CommandContext(ctx, string(binary), "-namespace", engine.Namespace, "-address", s.address, "-id", b.id, "-bundle", b.path, "delete")
	cmd.Dir, cmd.WaitDelay = b.path, time.Second
	cmd.Env = append(os.Environ(), "TTRPC_ADDRESS="+s.address+".ttrpc", "MAX_SHIM_VERSION=3")
	if out, err := cmd.CombinedOutput(); err != nil {
		slog.Error("cannot end the container of a shim that is gone", "id", b.id, "err", err, "output", strings.TrimSpace(string(out)))
	}
	if left, err := shims.LoadBundle(ctx, filepath.Join(s.state, taskDir), b.id); err != nil || left.Delete() != nil {
		slog.Error("cannot remove the bundle of a container whose shim is gone", "id", b.id, "err", err)
	}
}
