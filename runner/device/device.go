// Package device gives containers devices of this machine by their CDI names (tags.cncf.io/container-device-interface): GPUs,
// cameras, serial ports, described by files that their drivers, or an administrator, put into /etc/cdi or /var/run/cdi.
package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/foreign"
)

// Assignment holds the CDI names of the devices that each container of a pod has.
type Assignment map[string][]string

// Table knows the machine's devices, and which pod has which. It is safe for concurrent use.
type Table struct {
	cache *cdi.Cache
	mu    sync.Mutex
	pods  map[string]claim // by UID
}

type claim struct {
	pod     string // namespace/name
	devices Assignment
}

// New reads the descriptions in dirs when they are needed; no dirs mean CDI's own.
func New(dirs []string) (*Table, error) {
	options := []cdi.Option{cdi.WithAutoRefresh(false)}
	if len(dirs) > 0 {
		options = append(options, cdi.WithSpecDirs(dirs...))
	}
	cache, err := cdi.NewCache(options...)
	if err != nil {
		return nil, fmt.Errorf("cannot prepare for CDI devices: %w", err)
	}
	return &Table{cache: cache, pods: map[string]claim{}}, nil
}

// refresh reads the descriptions anew. The library opens whatever has the name of one: while that would wait, the devices are those of
// the last time.
func (t *Table) refresh() error {
	for _, dir := range t.cache.GetSpecDirectories() {
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
				return fmt.Errorf("cannot read the CDI devices: %w", err)
			}
			if err == nil {
				f.Close() //nolint:errcheck // only looked at
			}
		}
	}
	return t.cache.Refresh()
}

// ErrTaken says that not enough devices are free.
var ErrTaken = errors.New("no free device")

// Claim gives the pod's containers the devices that they ask for: by annotations cdi.k8s.io/..., which name devices for all
// containers of the pod and share them with others, and by limits like vendor.example/class: 1, which give a container
// devices of that kind that nobody else has. kept is what the pod had in an earlier run of Solopod.
func (t *Table) Claim(pod *v1.Pod, kept Assignment) (Assignment, error) {
	if !wants(pod) {
		return nil, nil
	}
	refreshErr := t.refresh() // some file may be bad, and the devices of others good
	t.mu.Lock()
	defer t.mu.Unlock()
	shared, err := t.named(pod)
	if err != nil {
		return nil, errors.Join(err, refreshErr)
	}
	out, own := Assignment{}, map[string]bool{}
	for _, c := range manifests.AllContainers(pod) {
		names, err := t.exclusive(pod, c, kept[c.Name], own)
		if err != nil {
			return nil, errors.Join(err, refreshErr)
		}
		if names = append(names, shared...); len(names) > 0 {
			out[c.Name] = names
		}
	}
	t.pods[string(pod.UID)] = claim{pod.Namespace + "/" + pod.Name, out}
	return out, nil
}

// named lists the devices that annotations name.
func (t *Table) named(pod *v1.Pod) ([]string, error) {
	_, names, err := cdi.ParseAnnotations(pod.Annotations)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		if t.cache.GetDevice(n) == nil {
			return nil, fmt.Errorf("this machine has no CDI device %s; is its description in %s?", n, strings.Join(t.cache.GetSpecDirectories(), " or "))
		}
	}
	return names, nil
}

// exclusive picks free devices for a container's limits. own are those that the pod has picked already.
func (t *Table) exclusive(pod *v1.Pod, c *v1.Container, kept []string, own map[string]bool) ([]string, error) {
	var out []string
	for resource, q := range c.Resources.Limits {
		if !IsDevice(resource) {
			continue
		}
		var all []string
		for _, name := range t.cache.ListDevices() {
			if kind, _, ok := strings.Cut(name, "="); ok && kind == string(resource) && !strings.HasSuffix(name, "=all") {
				all = append(all, name)
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("this machine has no CDI devices of kind %s; is their description in %s?", resource, strings.Join(t.cache.GetSpecDirectories(), " or "))
		}
		slices.SortStableFunc(all, func(a, b string) int { // those that it had come first
			return index(kept, a) - index(kept, b)
		})
		missing := int(q.Value())
		var holders []string
		for _, name := range all {
			switch holder := t.holder(pod, name); {
			case missing == 0 || own[name]:
			case holder != "":
				holders = append(holders, holder)
			default:
				own[name] = true
				out = append(out, name)
				missing--
			}
		}
		if missing > 0 {
			slices.Sort(holders)
			return nil, fmt.Errorf("%w: container %s wants %s of %s, of which the machine has %d; others are used by %s",
				ErrTaken, c.Name, q.String(), resource, len(all), strings.Join(slices.Compact(holders), ", "))
		}
	}
	return out, nil
}

func index(list []string, name string) int {
	if i := slices.Index(list, name); i >= 0 {
		return i
	}
	return len(list)
}

// holder is another pod that has the device.
func (t *Table) holder(pod *v1.Pod, name string) string {
	for uid, c := range t.pods {
		if uid == string(pod.UID) {
			continue
		}
		for _, names := range c.devices {
			if slices.Contains(names, name) {
				return c.pod
			}
		}
	}
	return ""
}

// Release gives the pod's devices back and says whether it had any.
func (t *Table) Release(uid string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, had := t.pods[uid]
	delete(t.pods, uid)
	return had
}

// Inject changes a spec so that its container has the devices.
func (t *Table) Inject(spec *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	refreshErr := t.refresh()
	if _, err := t.cache.InjectDevices(spec, names...); err != nil {
		return errors.Join(fmt.Errorf("cannot give the container its CDI devices: %w", err), refreshErr)
	}
	return nil
}

// IsDevice says whether the resource is a kind of CDI devices, vendor/class.
func IsDevice(name v1.ResourceName) bool {
	vendor, class := parser.ParseQualifier(string(name))
	return vendor != "" && class != "" && !strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix)
}

func wants(pod *v1.Pod) bool {
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
