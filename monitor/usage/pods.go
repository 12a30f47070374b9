package usage

import "github.com/solopod/solopod/runner/storage"

// Pod is what one pod takes up. What is not known is absent.
type Pod struct {
	Volumes []VolumeFigure
	// Layers, Logs and ImageVolumes are containers', by name.
	Layers, Logs, ImageVolumes map[string]storage.Measured
	// Ephemeral is what goes with the pod, when all of it is known.
	Ephemeral *storage.Measured
}

// VolumeFigure is what a volume takes up.
type VolumeFigure struct {
	Name string
	// Claim, in the pod's namespace, is empty for what is none.
	Claim string
	storage.Measured
}

// Pods says what pods take up, by UID.
func (m *Meter) Pods() map[string]*Pod {
	m.ask(Everything)
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*Pod{}
	unknown := map[string]bool{}
	for i := range m.places {
		p := &m.places[i]
		pod := out[p.UID]
		if pod == nil {
			pod = &Pod{Layers: map[string]storage.Measured{}, Logs: map[string]storage.Measured{}, ImageVolumes: map[string]storage.Measured{}}
			out[p.UID] = pod
		}
		f := p.figure
		if !f.known {
			if p.Ephemeral() {
				unknown[p.UID] = true
			}
			continue
		}
		pod.take(&p.Place, f.measured)
	}
	for uid := range unknown {
		out[uid].Ephemeral = nil
	}
	return out
}

func (pod *Pod) take(p *storage.Place, found storage.Measured) {
	switch p.Kind {
	case storage.Volume:
		pod.Volumes = append(pod.Volumes, VolumeFigure{p.Name, p.Claim, found})
	case storage.Layer:
		pod.Layers[p.Name] = found
	case storage.Logs:
		pod.Logs[p.Name] = found
	case storage.ImageVolumes:
		pod.ImageVolumes[p.Name] = found
	}
	if !p.Ephemeral() {
		return
	}
	if pod.Ephemeral == nil {
		pod.Ephemeral = &storage.Measured{At: found.At}
	}
	sum := pod.Ephemeral
	sum.Bytes += found.Bytes
	sum.Space.Inodes += found.Space.Inodes
	if found.At.Before(sum.At) {
		sum.At = found.At // it is as old as the oldest of its parts
	}
}

// Layers says what containers have written into their root file systems, by their IDs.
func (m *Meter) Layers() map[string]storage.Measured {
	m.ask(Layers)
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]storage.Measured, len(m.places)/3)
	for i := range m.places {
		if p := &m.places[i]; p.Kind == storage.Layer {
			if f := p.figure; f.known {
				out[p.ID] = f.measured
			}
		}
	}
	return out
}

// claim is a PersistentVolumeClaim.
type claim struct{ namespace, name string }

// claims says what claims take up that pods use.
func (m *Meter) claims() map[claim]storage.Measured {
	m.ask(Claims)
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[claim]storage.Measured{}
	for i := range m.places {
		if p := &m.places[i]; p.Claim != "" {
			if f := p.figure; f.known {
				out[claim{p.Namespace, p.Claim}] = f.measured
			}
		}
	}
	return out
}
