// Package apparmor gives containers that name no profile the one that container runtimes give them, and says which profiles the
// kernel has. It does not say whom a profile confines.
package apparmor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"golang.org/x/sync/singleflight"

	"github.com/solopod/solopod/runner/foreign"
)

// Default is the name of the profile of containers that name none: with the rules of containerd's.
const Default = "solopod-default"

// Why a machine has no default profile to give.
var (
	ErrUnused   = errors.New("this machine does not use AppArmor")
	ErrNoParser = errors.New("there is no apparmor_parser; install the package apparmor")
)

// loadLimit bounds the parser, which compiles the profile: a second where it is slow.
const loadLimit = 30 * time.Second

// AppArmor is the kernel's, and the program that loads profiles into it. It is safe for concurrent use.
type AppArmor struct {
	// Enabled and Profiles are files of the kernel: whether it is used, and what is loaded.
	Enabled, Profiles string
	// Parsers are the places of the program; the first that exists is used.
	Parsers []string
	// Nested: this is a container, as its manager has said, and the kernel's profiles are not for its use.
	Nested bool

	loads singleflight.Group
	// ours: the profile has been loaded by this process, with the rules that it knows.
	ours atomic.Bool
	told sync.Once
}

// New is this machine's.
func New() *AppArmor {
	return &AppArmor{
		Enabled: "/sys/module/apparmor/parameters/enabled", Profiles: "/sys/kernel/security/apparmor/profiles",
		Parsers: []string{"/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"}, Nested: os.Getenv("container") != "",
	}
}

// Lacks is nil where the default profile can be had; otherwise ErrUnused or ErrNoParser. As containerd's CRI decides it.
func (a *AppArmor) Lacks() error {
	enabled, err := foreign.ReadKernel(a.Enabled)
	if err != nil || !bytes.HasPrefix(enabled, []byte("Y")) || a.Nested {
		return ErrUnused
	}
	if _, err := foreign.ReadKernel(a.Profiles); err != nil {
		return fmt.Errorf("%w: %w", ErrUnused, err)
	}
	if a.Parser() == "" {
		return ErrNoParser
	}
	return nil
}

// DoWithout tells the log, once, why containers run without a profile.
func (a *AppArmor) DoWithout(why error) {
	a.told.Do(func() { slog.Info("containers whose manifests name no AppArmor profile run without one", "why", why) })
}

// Parser is the program that loads profiles; empty where there is none.
func (a *AppArmor) Parser() string {
	for _, path := range a.Parsers {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// Loaded says whether the kernel has a profile of that name.
func (a *AppArmor) Loaded(name string) (bool, error) {
	loaded, err := foreign.ReadKernel(a.Profiles)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnused, err)
	}
	return strings.Contains("\n"+string(loaded), "\n"+name+" ("), nil
}

// LoadDefault has the kernel know the default profile: with today's rules, whatever an earlier version has loaded, and again when
// somebody has unloaded it. Several who ask at once wait for one load.
func (a *AppArmor) LoadDefault(ctx context.Context) error {
	if loaded, err := a.Loaded(Default); err != nil || loaded && a.ours.Load() {
		return err
	}
	done := a.loads.DoChan(Default, func() (any, error) {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
		defer cancel()
		return nil, a.load(limited)
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *AppArmor) load(ctx context.Context) error {
	const advice = "cannot load the default AppArmor profile; mend that, or have the container run without (appArmorProfile: {type: Unconfined}): %w"
	profile, err := apparmor.DumpDefaultProfile(Default)
	if err != nil {
		return fmt.Errorf(advice, err)
	}
	// -r replaces what is there, and -K keeps no cache, which would be of other rules after an upgrade.
	cmd := exec.CommandContext(ctx, a.Parser(), "-Kr")
	cmd.Stdin, cmd.WaitDelay = strings.NewReader(profile), time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf(advice, fmt.Errorf("apparmor_parser: %w: %s", err, bytes.TrimSpace(out[:min(len(out), 1<<10)])))
	}
	a.ours.Store(true)
	slog.Info("loaded the default AppArmor profile", "profile", Default)
	return nil
}
