package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/eviction/alarm"
	"github.com/solopod/solopod/runner/eviction/reclaim"
	"github.com/solopod/solopod/runner/eviction/supply"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/pressure"
)

// thresholds are those of the settings, which were validated, of what can be measured: where a containerd outside keeps its images is not
// known.
func (c *config) thresholds() []threshold.Threshold {
	list, _ := threshold.Parse(c.evictionText())
	if c.Containerd != embeddedContainerd {
		list = slices.DeleteFunc(list, func(t threshold.Threshold) bool {
			return t.Signal == threshold.ImageSpace || t.Signal == threshold.ImageFiles
		})
	}
	return list
}

func (c *config) evictionText() threshold.Text {
	return threshold.Text{Hard: c.EvictionHard, Soft: c.EvictionSoft, SoftGracePeriod: c.EvictionSoftGracePeriod, MinimumReclaim: c.EvictionMinimumReclaim}
}

// checkEviction is what is wrong with the settings of evictions.
func (c *config) checkEviction() []threshold.Problem {
	_, wrong := threshold.Parse(c.evictionText())
	negative := func(setting string, value int64) {
		if value < 0 {
			wrong = append(wrong, threshold.Problem{Setting: setting, Err: errors.New("it cannot be negative; it is " + settingForms[setting])})
		}
	}
	negative("evictionMaxPodGracePeriod", int64(c.EvictionMaxPodGracePeriod))
	negative("evictionPressureTransitionPeriod", int64(c.EvictionPressureTransitionPeriod.Duration))
	return wrong
}

// supply is what there is of what pods are evicted for; its disks are those of the node's conditions.
func (c *config) supply() *supply.Supply {
	images := c.Root
	if c.Containerd != embeddedContainerd {
		images = "" // it is not known where
	}
	return supply.New(pressure.Linux{}, c.Root, images)
}

// canBeMet says which thresholds the machine can never meet. What does not tell of itself in time is left out.
func (c *config) canBeMet(ctx context.Context, s *supply.Supply) error {
	levels, err := s.Levels(ctx, threshold.Signals)
	if err != nil {
		slog.Warn("it is not known whether all thresholds of evictions can be met", "err", err)
	}
	var wrong []error
	for _, p := range threshold.Check(c.thresholds(), levels) {
		wrong = append(wrong, fmt.Errorf("%s: %w", p.Setting, p.Err))
	}
	return errors.Join(wrong...)
}

// runEvictions keeps the machine from running short, until ctx ends.
func runEvictions(ctx context.Context, c config, r *runner.Runner, s *supply.Supply, images *collection) error {
	bell := alarm.Open(alarm.Machine(cgroup.Unified()))
	defer bell.Close()
	changes, unsubscribe := r.Subscribe()
	defer unsubscribe()
	parts := partsOfPods{r, c.layersOn()}
	reclaimer := &reclaim.Reclaimer{Disk: c.Root, LogDirs: parts.logDirs}
	if cgroup.Unified() {
		reclaimer.Cgroup = filepath.Join(cgroup.Mountpoint, r.Evictions.Cgroup())
	}
	return eviction.New(eviction.Config{
		Thresholds: c.thresholds(), Transition: c.EvictionPressureTransitionPeriod.Duration,
		MaxGrace: time.Duration(c.EvictionMaxPodGracePeriod) * time.Second,
		Pods:     r.Evictions, Changes: changes, Levels: s.Levels, Use: parts.use, Alarm: bell,
		Reclaims: []eviction.Reclaim{
			{Name: "cached files of pods", Signals: []threshold.Signal{threshold.Memory}, Do: reclaimer.Cache},
			{Name: "unused images", Signals: imageSignals(&c), Do: images.Reclaim},
			// Of images it is known that they are short only where they lie on the disk of root.
			{Name: "rotated logs", Signals: []threshold.Signal{threshold.NodeSpace, threshold.ImageSpace}, Do: reclaimer.Logs},
			{Name: "files of rotated logs", Signals: []threshold.Signal{threshold.NodeFiles, threshold.ImageFiles}, Do: reclaimer.LogFiles},
		},
		Note: func(s threshold.Signal, message string) { r.Evictions.Short(s.Condition(), message) },
		Tell: r.Events().Node, Ready: r.Reconciled(),
	}).Run(ctx)
}

// imageSignals are those that get better as images go.
func imageSignals(c *config) []threshold.Signal {
	if c.Containerd != embeddedContainerd { // it is not known on which disk they lie
		return nil
	}
	return []threshold.Signal{threshold.NodeSpace, threshold.ImageSpace, threshold.NodeFiles, threshold.ImageFiles}
}

// partsOfPods finds out what pods take up.
type partsOfPods struct {
	r *runner.Runner
	// layers says whether what a container has written into its root file system lies on the disk that is short, by the container's ID.
	layers func() func(id string) bool
}

func (p partsOfPods) logDirs() (dirs []string) {
	for _, t := range p.r.Targets() {
		dirs = append(dirs, t.LogDir)
	}
	return dirs
}

// use implements eviction.Config.Use.
func (p partsOfPods) use(ctx context.Context, s threshold.Signal) map[string]eviction.Used {
	switch s {
	case threshold.Memory:
		return p.inCgroups(cgroup.MemoryUsage)
	case threshold.Processes:
		return p.inCgroups(cgroup.Processes)
	case threshold.NodeFiles, threshold.ImageFiles:
		return onDisks(ctx, p.r.Disks, p.layers, true)
	default:
		return onDisks(ctx, p.r.Disks, p.layers, false)
	}
}

// inCgroups measures the cgroups of pods and of their containers.
func (p partsOfPods) inCgroups(measure func(path string) (int64, error)) map[string]eviction.Used {
	out := map[string]eviction.Used{}
	for _, t := range p.r.Targets() {
		used, seen := out[t.UID]
		if !seen {
			n, err := measure(t.PodCgroup)
			if err != nil { // it has none, and takes nothing up
				continue
			}
			used = eviction.Used{Amount: uint64(max(n, 0)), Containers: map[string]uint64{}}
		}
		if t.Running {
			if n, err := measure(t.Cgroup); err == nil {
				used.Containers[t.Container] = uint64(max(n, 0))
			}
		}
		out[t.UID] = used
	}
	return out
}
