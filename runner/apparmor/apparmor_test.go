package apparmor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// machine has files of the kernel's form, and a parser that loads into them and notes how often.
func machine(t *testing.T) (a *AppArmor, dir string) {
	t.Helper()
	dir = t.TempDir()
	a = &AppArmor{Enabled: filepath.Join(dir, "enabled"), Profiles: filepath.Join(dir, "profiles"), Parsers: []string{filepath.Join(dir, "none"), filepath.Join(dir, "parser")}}
	write(t, a.Enabled, "Y\n", 0o644)
	write(t, a.Profiles, "docker-default (enforce)\nother//child (complain)\n", 0o644)
	write(t, a.Parsers[1], fmt.Sprintf("#!/bin/sh\n[ \"$*\" = -Kr ] || exit 3\ncat >%[1]s/rules\necho x >>%[1]s/calls\nsleep 0.2\necho '%s (enforce)' >>%[1]s/profiles\n", dir, Default), 0o755)
	return a, dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func calls(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(data), "x")
}

// The profile is loaded once for all who ask, anew when it has gone, and over what an earlier version has left.
func TestLoadDefault(t *testing.T) {
	a, dir := machine(t)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := a.LoadDefault(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := a.LoadDefault(t.Context()); err != nil || calls(t, dir) != 1 {
		t.Errorf("%d loads (%v)", calls(t, dir), err)
	}
	rules, err := os.ReadFile(filepath.Join(dir, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []string{"profile " + Default + " flags=(attach_disconnected,mediate_deleted)", "deny mount,", "deny @{PROC}/kcore rwklx", "deny /sys/firmware/** rwklx"} {
		if !strings.Contains(string(rules), rule) {
			t.Errorf("the rules lack %q:\n%s", rule, rules)
		}
	}
	write(t, a.Profiles, "", 0o644)
	if err := a.LoadDefault(t.Context()); err != nil || calls(t, dir) != 2 {
		t.Errorf("after somebody unloaded it: %d loads (%v)", calls(t, dir), err)
	}
	later := &AppArmor{Enabled: a.Enabled, Profiles: a.Profiles, Parsers: a.Parsers}
	if err := later.LoadDefault(t.Context()); err != nil || calls(t, dir) != 3 {
		t.Errorf("of a new process: %d loads (%v)", calls(t, dir), err)
	}
}

func TestLoadFails(t *testing.T) {
	a, _ := machine(t)
	write(t, a.Parsers[1], "#!/bin/sh\ncat >/dev/null\necho syntax error in line 3\nexit 1\n", 0o755)
	if err := a.LoadDefault(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 1: syntax error in line 3") || !strings.Contains(err.Error(), "Unconfined") {
		t.Errorf("%v", err)
	}
}

func TestLoaded(t *testing.T) {
	a, _ := machine(t)
	for name, want := range map[string]bool{"docker-default": true, "docker": false, "other//child": true, "other": false, "default": false} {
		if got, err := a.Loaded(name); err != nil || got != want {
			t.Errorf("%s: %t (%v)", name, got, err)
		}
	}
	a.Profiles += ".none"
	if _, err := a.Loaded("docker-default"); !errors.Is(err, ErrUnused) {
		t.Errorf("%v", err)
	}
}

// As with containerd's CRI a machine has no profile to give that does not use AppArmor, cannot load one, or is a container.
func TestLacks(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *AppArmor)
		want   error
	}{
		"all there":         {func(*AppArmor) {}, nil},
		"a container":       {func(a *AppArmor) { a.Nested = true }, ErrUnused},
		"switched off":      {func(a *AppArmor) { write(t, a.Enabled, "N\n", 0o644) }, ErrUnused},
		"not in the kernel": {func(a *AppArmor) { a.Enabled += ".none" }, ErrUnused},
		"no securityfs":     {func(a *AppArmor) { a.Profiles += ".none" }, ErrUnused},
		"no parser":         {func(a *AppArmor) { a.Parsers = a.Parsers[:1] }, ErrNoParser},
	} {
		a, _ := machine(t)
		c.change(a)
		if err := a.Lacks(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
