package threshold

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/solopod/solopod/manifests/spelling"
)

// Text are the settings, by signals' names. Hard replaces the defaults where it is not nil.
type Text struct{ Hard, Soft, SoftGracePeriod, MinimumReclaim map[string]string }

// Names of the settings.
const (
	hardSetting    = "evictionHard"
	softSetting    = "evictionSoft"
	graceSetting   = "evictionSoftGracePeriod"
	reclaimSetting = "evictionMinimumReclaim"
)

// Defaults are the kubelet's hard thresholds on Linux (pkg/kubelet/eviction/defaults_linux.go).
func Defaults() map[string]string {
	return map[string]string{
		string(Memory): "100Mi", string(NodeSpace): "10%", string(NodeFiles): "5%", string(ImageSpace): "15%", string(ImageFiles): "5%",
	}
}

// Problem is what is wrong with a setting. The error begins with the signal that it is about.
type Problem struct {
	Setting string
	Err     error
}

// parser collects what settings say.
type parser struct {
	list  []Threshold
	wrong []Problem
}

// Parse makes thresholds of settings, in the order of Signals, hard ones first. A threshold of nothing, or of all that there is, is none:
// it turns the signal off, as with a kubelet.
func Parse(t Text) ([]Threshold, []Problem) {
	if t.Hard == nil {
		t.Hard = Defaults()
	}
	p := &parser{}
	p.thresholds(hardSetting, t.Hard, false)
	p.thresholds(softSetting, t.Soft, true)
	p.graces(t)
	p.reclaims(t.MinimumReclaim)
	slices.SortStableFunc(p.list, func(a, b Threshold) int {
		return slices.Index(Signals, a.Signal) - slices.Index(Signals, b.Signal)
	})
	return p.list, p.wrong
}

func (p *parser) add(setting, signal string, err error) {
	p.wrong = append(p.wrong, Problem{setting, fmt.Errorf("%s: %w", signal, err)})
}

// signal is the one that a name means.
func (p *parser) signal(setting, name string) (Signal, bool) {
	if slices.Contains(Signals, Signal(name)) {
		return Signal(name), true
	}
	names := make([]string, len(Signals))
	for i, s := range Signals {
		names[i] = string(s)
	}
	near := spelling.Nearest(name, names)
	switch {
	case name == "allocatableMemory.available":
		p.add(setting, name, errors.New("it is a signal of the kubelet's that Solopod has not; set memory.available"))
	case name == "containerfs.available" || name == "containerfs.inodesFree":
		p.add(setting, name, errors.New("it is a signal of the kubelet's that Solopod has not: what containers write lies with the images; set that of imagefs"))
	case near != "":
		p.add(setting, name, fmt.Errorf("there is no such signal; did you mean %s?", near))
	default:
		p.add(setting, name, fmt.Errorf("there is no such signal; there are %s", names))
	}
	return "", false
}

func (p *parser) thresholds(setting string, of map[string]string, soft bool) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		s, ok := p.signal(setting, name)
		if !ok {
			continue
		}
		least, err := parseAmount(of[name])
		if err != nil {
			p.add(setting, name, err)
			continue
		}
		if !least.none() && least.Part != 1 {
			p.list = append(p.list, Threshold{Signal: s, Least: least, Soft: soft})
		}
	}
}

// graces gives soft thresholds the time for which they must be crossed.
func (p *parser) graces(t Text) {
	for _, name := range slices.Sorted(maps.Keys(t.SoftGracePeriod)) {
		if _, ok := p.signal(graceSetting, name); !ok {
			continue
		}
		if _, ok := t.Soft[name]; !ok {
			p.add(graceSetting, name, errors.New("evictionSoft has no threshold of it; give it one, or remove this"))
			continue
		}
		grace, err := time.ParseDuration(t.SoftGracePeriod[name])
		if err != nil || grace < 0 {
			p.add(graceSetting, name, fmt.Errorf("%q is not a duration like 1m30s", t.SoftGracePeriod[name]))
			continue
		}
		for i := range p.list {
			if p.list[i].Soft && string(p.list[i].Signal) == name {
				p.list[i].Grace = grace
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Soft)) {
		if _, ok := t.SoftGracePeriod[name]; !ok && slices.Contains(Signals, Signal(name)) {
			p.add(softSetting, name, errors.New("it needs a time for which it must be crossed; set evictionSoftGracePeriod, like {"+name+": 1m30s}"))
		}
	}
}

func (p *parser) reclaims(of map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		s, ok := p.signal(reclaimSetting, name)
		if !ok {
			continue
		}
		least, err := parseAmount(of[name])
		if err != nil {
			p.add(reclaimSetting, name, err)
			continue
		}
		found := least.none()
		for i := range p.list {
			if p.list[i].Signal == s {
				p.list[i].Reclaim, found = least, true
			}
		}
		if !found {
			p.add(reclaimSetting, name, errors.New("no threshold is set for it, so that nothing is reclaimed; set one in evictionHard or evictionSoft, or remove this"))
		}
	}
}
