// Package compose makes manifests of the services of compose files: of each a Deployment, or a pod or a Job, with a headless Service of its
// name, by which the others reach it at every port, as in compose.
package compose

import (
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/convert/composefile"
	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/service"
)

// Convert makes the objects of a project.
func Convert(from *composefile.Project, o service.Options, notes *note.List) []service.Object {
	p := &project{Project: service.Read(from, o, notes)}
	for _, s := range p.Services {
		p.finish(s)
	}
	p.runFirst()
	p.wait()
	p.renamed()
	p.divide()
	for _, s := range p.Services {
		p.network(s)
		p.workload(s)
	}
	p.policies()
	p.unused()
	return slices.Concat(p.Claims(), p.Objects)
}

// project is a project whose services have been read.
type project struct {
	*service.Project
	// apart: networks keep services apart, or from the rest of the world. inside are the services that are in networks.
	apart  bool
	inside []*service.Service
}

// finish does what needs all of a service's keys.
func (p *project) finish(s *service.Service) {
	p.volumesFrom(s)
	p.image(s)
	p.containerPorts(s)
	s.Pod.ManyWriters = s.Pod.ManyWriters || s.Replicas > 1
	ownVolumes(s)
	if s.Restart == "" && s.Mode == "" && !s.First {
		f := s.Field("restart")
		f.Once("restart", f.Changed, `it is not set: where a container ends Docker lets it be, and here it begins anew, as with restart: always; restart: "no" makes a pod of it that ends`)
	}
}

// ownVolumes gives a user that is not root the volumes that the pod has for itself.
func ownVolumes(s *service.Service) {
	sc := s.Container.SecurityContext
	if sc == nil || sc.RunAsUser == nil || *sc.RunAsUser == 0 {
		return
	}
	if slices.ContainsFunc(s.Pod.Spec.Volumes, func(v v1.Volume) bool { return v.PersistentVolumeClaim != nil }) && s.PodSecurity().FSGroup == nil {
		group := *sc.RunAsUser
		if sc.RunAsGroup != nil {
			group = *sc.RunAsGroup
		}
		s.PodSecurity().FSGroup = &group
	}
}

func pointer[T any](v T) *T { return &v }
