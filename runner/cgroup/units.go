package cgroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/solopod/solopod/runner/rescue"
)

// units is the driver that asks systemd for slices, over D-Bus.
type units struct {
	mu  sync.Mutex
	bus *bus // nil before the first request, and after one that was not answered
}

// bus is a connection; end lets go of it.
type bus struct {
	*dbus.Conn
	end context.CancelFunc
}

// do runs one request within answerTime and ctx; a lost connection is made anew once. A request that is not answered is left behind with
// its connection.
func (u *units) do(ctx context.Context, request func(context.Context, *dbus.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for again := false; ; again = true {
		b, err := u.connection(ctx)
		if err != nil {
			return fmt.Errorf("cannot reach systemd (cgroupDriver: cgroupfs needs none): %w", err)
		}
		answer := make(chan error, 1)
		go func() {
			answer <- rescue.Do("ask systemd", func() error { return request(ctx, b.Conn) })
		}()
		select {
		case err = <-answer:
		case <-ctx.Done(): // a full socket holds even who sends
			err = fmt.Errorf("systemd does not answer: %w", ctx.Err())
		}
		lost := errors.Is(err, godbus.ErrClosed)
		if lost || ctx.Err() != nil {
			u.drop(b)
		}
		if !lost || again {
			return err
		}
	}
}

// connection is the one that there is, or a new one.
func (u *units) connection(ctx context.Context) (*bus, error) {
	u.mu.Lock()
	b := u.bus
	u.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bus != nil { // somebody was faster
		b.end()
		return u.bus, nil
	}
	u.bus = b
	return b, nil
}

// connect makes a connection, which outlives ctx. A bus that takes it and then says nothing is given up when ctx ends.
func connect(ctx context.Context) (*bus, error) {
	type answer struct {
		conn *dbus.Conn
		err  error
	}
	lifetime, end := context.WithCancel(context.Background()) // its end closes the connection
	answers := make(chan answer, 1)
	go func() {
		conn, err := dbus.NewWithContext(lifetime)
		answers <- answer{conn, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			end()
			return nil, a.err
		}
		return &bus{a.conn, end}, nil
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}

// drop gives a connection up.
func (u *units) drop(b *bus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bus == b {
		u.bus = nil
	}
	b.end()
}

// apply starts a slice, or changes one that runs.
func (u *units) apply(ctx context.Context, cgroupPath string, r *specs.LinuxResources) error {
	if err := u.startSlice(ctx, path.Base(cgroupPath), properties(r)); err != nil {
		return err
	}
	return limitHugepages(cgroupPath, r)
}

func (u *units) startSlice(ctx context.Context, name string, limits []dbus.Property) error {
	return u.do(ctx, func(ctx context.Context, c *dbus.Conn) error {
		base := []dbus.Property{
			dbus.PropDescription("Pods of Solopod"),
		}
		for _, controller := range []string{"CPU", "Memory", "Tasks", "IO"} {
			base = append(base, dbus.Property{Name: controller + "Accounting", Value: godbus.MakeVariant(true)})
		}
		err := startUnit(ctx, c, name, append(base, limits...))
		if isDBus(err, "org.freedesktop.systemd1.UnitExists") {
			err = c.SetUnitPropertiesContext(ctx, name, true, limits...)
		}
		return err
	})
}

func startUnit(ctx context.Context, c *dbus.Conn, name string, properties []dbus.Property) error {
	done := make(chan string, 1)
	if _, err := c.StartTransientUnitContext(ctx, name, "replace", properties, done); err != nil {
		return err
	}
	return finished(ctx, name, done)
}

// finished waits for the end of a job of systemd's.
func finished(ctx context.Context, name string, done <-chan string) error {
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd answers %q for %s", result, name)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("systemd does not finish %s: %w", name, ctx.Err())
	}
}

func isDBus(err error, name string) bool {
	var e godbus.Error
	return errors.As(err, &e) && e.Name == name
}

// properties are a slice's limits (systemd.resource-control(5)).
func properties(r *specs.LinuxResources) []dbus.Property {
	v2 := cgroup2.ToResources(r)
	var out []dbus.Property
	add := func(name string, value any) {
		out = append(out, dbus.Property{Name: name, Value: godbus.MakeVariant(value)})
	}
	if v2.CPU != nil && v2.CPU.Weight != nil {
		add("CPUWeight", *v2.CPU.Weight)
	}
	if r.CPU != nil && r.CPU.Quota != nil && r.CPU.Period != nil {
		// systemd keeps the quota per second, in steps of 10 ms.
		const second, step = uint64(time.Second / time.Microsecond), uint64(10 * time.Millisecond / time.Microsecond)
		perSecond := uint64(*r.CPU.Quota) * second / *r.CPU.Period
		add("CPUQuotaPeriodUSec", *r.CPU.Period)
		add("CPUQuotaPerSecUSec", (perSecond+step-1)/step*step)
	} else {
		add("CPUQuotaPerSecUSec", uint64(math.MaxUint64)) // no limit
	}
	memory, pids := uint64(math.MaxUint64), uint64(math.MaxUint64) // no limit
	if r.Memory != nil && r.Memory.Limit != nil {
		memory = uint64(*r.Memory.Limit)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		pids = uint64(*r.Pids.Limit)
	}
	add("MemoryMax", memory)
	add("MemoryMin", uint64(protected(r)))
	add("TasksMax", pids)
	return out
}

// limitHugepages writes what systemd has no property for, in a controller that it leaves alone.
func limitHugepages(cgroupPath string, r *specs.LinuxResources) error {
	if len(r.HugepageLimits) == 0 {
		return nil
	}
	parent := Mountpoint
	for part := range strings.SplitSeq(strings.Trim(cgroupPath, "/"), "/") {
		file := filepath.Join(parent, "cgroup.subtree_control")
		if err := tell(file, "+hugetlb"); err != nil {
			return fmt.Errorf("cannot limit huge pages: %w", err)
		}
		parent = filepath.Join(parent, part)
	}
	for _, h := range r.HugepageLimits {
		file := filepath.Join(Mountpoint, cgroupPath, "hugetlb."+h.Pagesize+".max")
		if err := tell(file, strconv.FormatUint(h.Limit, 10)); err != nil {
			return fmt.Errorf("cannot limit huge pages: %w", err)
		}
	}
	return nil
}

func (u *units) remove(ctx context.Context, cgroupPath string) error {
	if _, err := os.Stat(filepath.Join(Mountpoint, cgroupPath)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return u.do(ctx, func(ctx context.Context, c *dbus.Conn) error {
		done := make(chan string, 1)
		name := path.Base(cgroupPath)
		_, err := c.StopUnitContext(ctx, name, "replace", done)
		if isDBus(err, "org.freedesktop.systemd1.NoSuchUnit") {
			return removeTree(filepath.Join(Mountpoint, cgroupPath))
		}
		if err != nil {
			return fmt.Errorf("cannot stop %s: %w", name, err)
		}
		return finished(ctx, name, done)
	})
}

// removeEmpty stops a slice without children. A scope ends by itself, with its last process.
func (u *units) removeEmpty(ctx context.Context, cgroupPath string) bool {
	if path.Ext(cgroupPath) != ".slice" {
		return false
	}
	dirs, err := subtree(filepath.Join(Mountpoint, cgroupPath))
	return err == nil && len(dirs) == 1 && u.remove(ctx, cgroupPath) == nil
}

// ScopeAnnotations tell the OCI runtime what a container's scope is to be given beside limits. At a shutdown systemd stops
// all slices at once, with what is in them. So scopes are stopped after the daemon, which stops the pods in its order and
// with their grace periods (runc, docs/systemd.md, auxiliary properties).
func (m *Manager) ScopeAnnotations() map[string]string {
	if m.driver != Systemd || m.Service == "" {
		return nil
	}
	return map[string]string{"org.systemd.property.Before": "['" + m.Service + "']"}
}

// HoldShims gives the shims a place to be, which must hold a process: with systemd one that outlives the daemon is put
// into a scope, below which shims get cgroups of their own. They are not the service's then, which can be restarted
// without systemd stumbling over them. Without systemd nothing is to be done.
func (m *Manager) HoldShims(pid int) error {
	u, ok := m.keeper.(*units)
	if !ok {
		return nil
	}
	name := path.Base(m.shims())
	properties := []dbus.Property{
		dbus.PropDescription("Shims of Solopod's pods"), dbus.PropPids(uint32(pid)), dbus.PropSlice(m.root + ".slice"),
		{Name: "Delegate", Value: godbus.MakeVariant(true)},
		{Name: "DefaultDependencies", Value: godbus.MakeVariant(false)},
	}
	if m.Service != "" {
		properties = append(properties, dbus.PropBefore(m.Service))
	}
	err := u.do(context.Background(), func(ctx context.Context, c *dbus.Conn) error { return startUnit(ctx, c, name, properties) })
	if isDBus(err, "org.freedesktop.systemd1.UnitExists") { // shims hold it; the process that held it before was killed
		err = tell(filepath.Join(Mountpoint, m.shims(), "cgroup.procs"), strconv.Itoa(pid))
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", name, err)
	}
	return nil
}
