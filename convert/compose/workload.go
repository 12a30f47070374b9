package compose

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/service"
	"github.com/solopod/solopod/convert/tree"
)

// image names the image, also of what is built, and has it pulled as Docker does.
func (p *project) image(s *service.Service) {
	build := s.Node.Get("build")
	if build != nil {
		f := s.Field("build")
		if s.Container.Image == "" {
			name, _ := forms.Label(s.Project.Name)
			s.Container.Image = strings.TrimPrefix(name+"-"+s.Object, "-")
		}
		f.Todo("nothing is built here: build it elsewhere, and bring it (docker compose build %s; docker save %s >/var/lib/solopod/images/%s.tar)", s.Name, s.Container.Image, s.Object)
	}
	f := s.Field("image")
	if s.Container.Image == "" {
		f.Failed("it has neither image nor build")
		return
	}
	name, tag := s.Container.Image, ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		tag = name[i+1:]
	}
	if s.Container.ImagePullPolicy == "" && !strings.Contains(name, "@") && (tag == "" || tag == "latest") {
		s.Container.ImagePullPolicy = v1.PullIfNotPresent
		if build == nil {
			f.Once("latest", f.Changed, "an image without a tag, or with latest, would be pulled at each start; imagePullPolicy: IfNotPresent pulls it when it is missing, as Docker does")
		}
	}
}

// runFirst makes init containers of services whose end others wait for.
func (p *project) runFirst() {
	for _, s := range p.Services {
		for _, n := range s.Needs {
			other := p.ByName[n.Service]
			if n.Condition != "service_completed_successfully" || other.Pod == s.Pod && other.Pod.Owner == other {
				continue
			}
			c := *other.Container.DeepCopy()
			c.Ports, c.Lifecycle, c.ReadinessProbe = nil, nil, nil
			c.VolumeMounts = other.Carry(c.VolumeMounts, s.Pod)
			if !hasContainer(s.Pod.Spec.InitContainers, c.Name) {
				s.Pod.Spec.InitContainers = append(s.Pod.Spec.InitContainers, c)
			}
			n.Changed("%s runs as an init container, before each start of the pod of %s: there is nobody to ask whether it has ended elsewhere", other.Object, s.Object)
		}
	}
	for _, s := range p.Services {
		if s.First && s.Restart != "" && s.Restart != "no" && !strings.HasPrefix(s.Restart, "on-failure") {
			s.Whole().Todo("others wait for its end, and it is to be restarted when it ends: it is run as an init container alone")
		}
	}
}

func hasContainer(in []v1.Container, name string) bool {
	return slices.ContainsFunc(in, func(c v1.Container) bool { return c.Name == name })
}

// wait has pods wait until the services that they need are healthy.
func (p *project) wait() {
	for _, s := range p.Services {
		var waits []v1.Container
		seen := map[string]bool{}
		for _, n := range allNeeds(s, map[*service.Service]bool{}) {
			other := p.ByName[n.Service]
			if n.Condition != "service_healthy" || seen[other.Object] {
				continue
			}
			seen[other.Object] = true
			switch {
			case other.Pod == s.Pod:
				n.Lost("%s is in the same pod, whose containers start together", other.Object)
			case p.WaitImage == "":
				n.Changed("left out: pods start at once; who cannot do without another one yet ends, and is started again")
			default:
				if other.Container.ReadinessProbe == nil {
					n.Todo("%s has no healthcheck in the file; it counts as healthy when it runs", other.Object)
				}
				script := fmt.Sprintf("until ping -c 1 -w 2 %s >/dev/null 2>&1; do sleep 1; done", other.Object)
				waits = append(waits, v1.Container{Name: shortened("wait-for-" + other.Object), Image: p.WaitImage, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sh", "-c", script}})
				n.Changed("an init container waits until %s is ready: only then its name is found. It needs the image %s; --wait-image names another one", other.Object, p.WaitImage)
			}
		}
		if s.First {
			continue
		}
		for _, w := range waits {
			if !hasContainer(s.Pod.Spec.InitContainers, w.Name) {
				s.Pod.Spec.InitContainers = append([]v1.Container{w}, s.Pod.Spec.InitContainers...)
			}
		}
	}
}

// allNeeds are the needs of a service, and of those that run as its init containers.
func allNeeds(s *service.Service, met map[*service.Service]bool) (out []service.Need) {
	if met[s] {
		return nil
	}
	met[s] = true
	for _, n := range s.Needs {
		if n.Condition == "service_completed_successfully" {
			out = append(out, allNeeds(s.Project.ByName[n.Service], met)...)
		}
		out = append(out, n)
	}
	return out
}

// workload makes what runs the pod of a service.
func (p *project) workload(s *service.Service) {
	if s.Pod.Owner != s || s.First {
		return
	}
	spec := &s.Pod.Spec
	for _, member := range s.Pod.Members {
		if member != s && member.Restart != "" && member.Restart != s.Restart {
			member.Field("restart").Lost("all containers of a pod are restarted alike, as those of %s", s.Object)
		}
		if !member.First {
			spec.Containers = append(spec.Containers, member.Container)
			for k, v := range member.Annotations {
				s.Annotations[k] = v
			}
		}
	}
	meta := metav1.ObjectMeta{Name: s.Object, Labels: p.labels(s)}
	at := s.Field("restart")
	template := v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels, Annotations: s.Annotations}, Spec: *spec}
	policy, tries, _ := strings.Cut(s.Restart, ":")
	if tries != "" {
		at.Lost("it begins anew as long as it fails, with a back-off, not %s times; a Job gives up (backoffLimit)", tries)
	}
	above := metav1.ObjectMeta{Name: s.Object, Annotations: s.Above}
	selector := &metav1.LabelSelector{MatchLabels: s.Selector()}
	var o metav1.Object
	switch {
	case s.Mode == "replicated-job" || s.Mode == "global-job":
		template.Spec.RestartPolicy = v1.RestartPolicyNever
		if policy == "on-failure" {
			template.Spec.RestartPolicy = v1.RestartPolicyOnFailure
		}
		job := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: above, Spec: batchv1.JobSpec{Template: template}}
		if s.Replicas > 1 {
			job.Spec.Completions, job.Spec.Parallelism = &s.Replicas, &s.Replicas
		}
		o = job
	case s.Mode == "global":
		o = &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"}, ObjectMeta: above, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	case (policy == "no" || policy == "false" || policy == "on-failure") && s.Replicas == 1:
		pod := &v1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: *spec}
		pod.Annotations = s.Annotations
		for k, v := range s.Above {
			pod.Annotations[k] = v
		}
		pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
		if policy != "on-failure" {
			pod.Spec.RestartPolicy = v1.RestartPolicyNever
			at.Changed("a pod that ends stays as it is until the machine starts again, or its file changes")
		}
		o = pod
	default:
		if policy == "no" || policy == "on-failure" {
			at.Lost("pods of which there are several are always restarted")
		}
		if s.Replicas > 64 {
			at.Lost("64 pods are the most; there will be so many")
			s.Replicas = 64
		}
		d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: above, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}
		if s.Replicas != 1 {
			d.Spec.Replicas = &s.Replicas
		}
		if s.Pod.WritesHost {
			d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
			s.Field("volumes").Changed("it writes to a directory of the machine, so that an edit stops it before the new one starts (strategy Recreate), as Docker does")
		}
		o = d
	}
	p.Add(s.Whole(), o)
}

// labels are those of the service's pods.
func (p *project) labels(s *service.Service) map[string]string {
	out := s.Selector()
	for _, n := range s.Networks {
		if !p.apart {
			break
		}
		if object, ok := forms.Label(n); ok {
			out[networkLabel+object] = "member"
		}
	}
	return out
}

// unused says what of the file's volumes and networks nobody has.
func (p *project) unused() {
	for _, part := range []struct {
		name string
		of   *tree.Node
	}{{"volumes", p.Volumes}, {"secrets", p.Secrets}, {"configs", p.Configs}} {
		if part.of == nil {
			continue
		}
		for _, e := range part.of.Entries {
			object, _ := forms.Label(e.Key)
			if n := e.Value.Get("name").Text(); n != "" {
				object, _ = forms.Label(n)
			}
			used := p.HasClaim(object) || p.Made[strings.TrimSuffix(part.name, "s")+"/"+object] || e.Value.Get("driver_opts") != nil
			if !used && !strings.HasPrefix(e.Key, "x-") {
				p.Notes.Addf(e.Place, note.Changed, part.name+"."+e.Key, "left out: no service of those that are converted has it")
			}
		}
	}
	if p.Networks == nil {
		return
	}
	for _, e := range p.Networks.Entries {
		for _, key := range e.Value.Entries {
			switch key.Key {
			case "name", "internal", "driver", "labels", "attachable":
			case "external":
				p.Notes.Addf(key.Place, note.Changed, "networks."+e.Key, "pods of all files reach each other; those of another namespace as NAME.NAMESPACE")
			default:
				p.Notes.Addf(key.Place, note.Lost, "networks."+e.Key+"."+key.Key, "all pods are on one bridge, whose addresses the configuration gives, or where a CNI configuration puts them")
			}
		}
	}
}

// volumesFrom mounts what other services mount.
func (p *project) volumesFrom(s *service.Service) {
	f := s.Field("volumes_from")
	for _, item := range f.Items() {
		name, mode, _ := strings.Cut(item.Text(), ":")
		other := s.Project.ByName[name]
		if other == nil || name == "container" {
			item.Lost("no such service is converted, and containers elsewhere have no volumes for this one")
			continue
		}
		for _, m := range other.Carry(other.Container.VolumeMounts, s.Pod) {
			m.ReadOnly = m.ReadOnly || mode == "ro"
			if !slices.ContainsFunc(s.Container.VolumeMounts, func(own v1.VolumeMount) bool { return own.MountPath == m.MountPath }) {
				s.Mount(m)
			}
		}
		if slices.ContainsFunc(other.Pod.Spec.Volumes, func(v v1.Volume) bool { return v.EmptyDir != nil }) && other.Pod != s.Pod {
			item.Todo("%s has volumes without a name, which each pod has for itself; give them names", name)
		}
	}
}
