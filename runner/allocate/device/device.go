// Package device gives containers devices of this machine by their CDI names (tags.cncf.io/container-device-interface): GPUs,
// cameras, serial ports, described by files that their drivers, or an administrator, put into /etc/cdi or /var/run/cdi.
//
// The descriptions are read anew whenever they are needed, and nothing is shared between two reads: directories that do not
// answer hold nobody else.
package device

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/foreign"
)

// Assignment holds the CDI names of the devices that each container of a pod has.
type Assignment map[string][]string

// Table finds the machine's devices. It keeps nothing and is safe for concurrent use.
type Table struct{ dirs []string }

// New finds descriptions in dirs; no dirs mean CDI's own.
func New(dirs []string) *Table { return &Table{slices.Clone(dirs)} }

// Machine is what devices the machine had at one moment.
type Machine struct {
	cache *cdi.Cache
	// bad tells of files that cannot be used; the devices of others are good.
	bad error
}

// Read reads all descriptions. It takes as long as the directories' file systems do.
func (t *Table) Read() (*Machine, error) {
	dirs := t.dirs
	if len(dirs) == 0 {
		dirs = cdi.DefaultSpecDirs
	}
	if err := onlyFiles(dirs); err != nil {
		return nil, err
	}
	options := []cdi.Option{cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dirs...)}
	cache, err := cdi.NewCache(options...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the descriptions of CDI devices: %w", err)
	}
	m := &Machine{cache: cache}
	for _, errs := range cache.GetErrors() {
		m.bad = errors.Join(m.bad, errors.Join(errs...))
	}
	return m, nil
}

// onlyFiles makes sure that nothing has the name of a description that the library would wait for when it opens it.
func onlyFiles(dirs []string) error {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // the library tells, if it minds
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if ext := filepath.Ext(path); e.IsDir() || ext != ".json" && ext != ".yaml" {
				continue
			}
			f, err := foreign.OpenFollowing(path)
			if errors.Is(err, foreign.ErrNotRegular) {
				return fmt.Errorf("cannot read the descriptions of CDI devices: %w", err)
			}
			if err == nil {
				f.Close() //nolint:errcheck // only looked at
			}
		}
	}
	return nil
}

// Inject changes a spec so that its container has the devices. It reads the descriptions.
func (t *Table) Inject(spec *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	m, err := t.Read()
	if err != nil {
		return err
	}
	if _, err := m.cache.InjectDevices(spec, names...); err != nil {
		return errors.Join(fmt.Errorf("cannot give the container its CDI devices: %w", err), m.bad)
	}
	return nil
}

// ErrTaken says that not enough devices are free.
var ErrTaken = errors.New("no free device")

// Assign chooses the devices that the pod's containers ask for: by annotations cdi.k8s.io/..., which name devices for all
// containers of the pod and share them with others, and by limits like vendor.example/class: 1, which give a container
// devices of that kind that nobody else has. kept is what the pod had before; holder says which other pod has a device, and is
// empty for a free one. Nothing is read, and nothing noted.
func (m *Machine) Assign(pod *v1.Pod, kept Assignment, holder func(name string) string) (Assignment, error) {
	shared, err := m.named(pod)
	if err != nil {
		return nil, errors.Join(err, m.bad)
	}
	out, own := Assignment{}, map[string]bool{}
	for _, c := range manifests.AllContainers(pod) {
		names, err := m.exclusive(c, kept[c.Name], own, holder)
		if err != nil {
			return nil, errors.Join(err, m.bad)
		}
		if names = append(names, shared...); len(names) > 0 {
			out[c.Name] = names
		}
	}
	return out, nil
}

// named lists the devices that annotations name.
func (m *Machine) named(pod *v1.Pod) ([]string, error) {
	_, names, err := cdi.ParseAnnotations(pod.Annotations)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		if m.cache.GetDevice(n) == nil {
			return nil, fmt.Errorf("this machine has no CDI device %s; is its description in %s?", n, m.dirs())
		}
	}
	return names, nil
}

func (m *Machine) dirs() string { return strings.Join(m.cache.GetSpecDirectories(), " or ") }

// exclusive picks free devices for a container's limits. own are those that the pod has picked already.
func (m *Machine) exclusive(c *v1.Container, kept []string, own map[string]bool, holder func(string) string) ([]string, error) {
	var out []string
	for _, resource := range slices.Sorted(maps.Keys(c.Resources.Limits)) {
		if !IsDevice(resource) {
			continue
		}
		all := m.ofKind(string(resource))
		if len(all) == 0 {
			return nil, fmt.Errorf("this machine has no CDI devices of kind %s; is their description in %s?", resource, m.dirs())
		}
		slices.SortStableFunc(all, func(a, b string) int { return index(kept, a) - index(kept, b) }) // those that it had come first
		q := c.Resources.Limits[resource]
		missing := amount.Whole(q)
		var holders []string
		for _, name := range all {
			if missing == 0 || own[name] {
				continue
			}
			if other := holder(name); other != "" {
				holders = append(holders, other)
				continue
			}
			own[name] = true
			out = append(out, name)
			missing--
		}
		if missing > 0 {
			slices.Sort(holders)
			return nil, fmt.Errorf("%w: container %s wants %s of %s, of which the machine has %d; others are used by %s",
				ErrTaken, c.Name, q.String(), resource, len(all), strings.Join(slices.Compact(holders), ", "))
		}
	}
	return out, nil
}

func (m *Machine) ofKind(resource string) []string {
	var out []string
	for _, name := range m.cache.ListDevices() {
		if kind, _, ok := strings.Cut(name, "="); ok && kind == resource && !strings.HasSuffix(name, "=all") {
			out = append(out, name)
		}
	}
	return out
}

func index(list []string, name string) int {
	if i := slices.Index(list, name); i >= 0 {
		return i
	}
	return len(list)
}

// IsDevice says whether the resource is a kind of CDI devices, vendor/class.
func IsDevice(name v1.ResourceName) bool {
	vendor, class := parser.ParseQualifier(string(name))
	return vendor != "" && class != "" && !strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
}

// Wanted says whether the pod asks for any device.
func Wanted(pod *v1.Pod) bool {
	for key := range pod.Annotations {
		if strings.HasPrefix(key, cdi.AnnotationPrefix) {
			return true
		}
	}
	for _, c := range manifests.AllContainers(pod) {
		for name := range c.Resources.Limits {
			if IsDevice(name) {
				return true
			}
		}
	}
	return false
}
