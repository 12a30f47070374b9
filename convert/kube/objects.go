package kube

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/convert/note"
)

// podmans says what became of annotations by which podman is told what manifests cannot say. The longest beginning counts.
var podmans = []struct{ begins, what string }{
	{"io.podman.annotations.ulimit", "ulimits are not kept: containers have those of the daemon; set them in its systemd unit (LimitNOFILE=)"},
	{"io.podman.annotations.userns", "user namespaces are not kept; hostUsers: false gives the pod one of its own"},
	{"io.podman.annotations.pids-limit", "limits of processes are not kept; podPidsLimit of the configuration bounds each pod"},
	{"io.podman.annotations.volumes-from", "volumes of other containers are not kept: mount the same claim"},
	{"io.podman.annotations.kube.image.automount", "volumes of the image are not mounted elsewhere: mount it as a volume (image:)"},
	{"io.podman.annotations.cpuset", "CPU sets are not kept; set a limit of CPU"},
	{"io.podman.annotations.memory-nodes", "memory nodes are not kept"},
	{"io.podman.annotations.init", "the init process is not kept; shareProcessNamespace: true gives the pod one"},
	{"io.podman.annotations.publish-all", "ports are not published by themselves: give them hostPort"},
	{"io.podman.annotations.seccomp", "seccomp profiles are not kept; set securityContext.seccompProfile"},
	{"io.podman.annotations.apparmor", "AppArmor profiles are not kept; set securityContext.appArmorProfile"},
	{"io.containers.autoupdate", "images are not updated by themselves: solopod images pull and solopod restart do it"},
	{"io.containers.sdnotify", "systemd is not told of pods: probes say when they are ready"},
	{"org.systemd.property.", "systemd's properties of containers are not kept; set resources"},
}

// annotations tells of podman's, which have no effect here.
func (d *doc) annotations() {
	for _, m := range []*yaml.Node{get(d.root, "metadata", "annotations"), get(d.root, "spec", "template", "metadata", "annotations")} {
		if m == nil || m.Kind != yaml.MappingNode {
			continue
		}
		had := slices.Clone(m.Content)
		for i := 0; i+1 < len(had); i += 2 {
			key := had[i].Value
			if strings.HasPrefix(key, "bind-mount-options") {
				d.say(had[i], note.Changed, "metadata.annotations."+key, "it has no effect: directories of the machine are not labelled for a pod. Where SELinux enforces, label it (chcon -Rt container_file_t)")
				if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 { // older ones have the path in the key, which Kubernetes refuses
					remove(m, key)
				}
			}
			for _, p := range podmans {
				if strings.HasPrefix(key, p.begins) && text(had[i+1]) != "FALSE" {
					d.say(had[i], note.Lost, "metadata.annotations."+key, "%s", p.what)
					break
				}
			}
		}
	}
	if text(get(d.root, "metadata", "annotations", "kompose.cmd")) != "" {
		d.say(get(d.root, "metadata"), note.Changed, "metadata", "kompose has written this; solopod convert takes the compose file itself, and keeps more of it")
	}
}

// replicated mends what makes pods.
func (d *doc) replicated() {
	spec := get(d.root, "spec")
	if spec == nil {
		return
	}
	labels := get(spec, "template", "metadata", "labels")
	s := get(spec, "selector")
	if (s == nil || s.Kind == yaml.MappingNode && len(s.Content) == 0) && labels != nil && len(labels.Content) > 0 {
		selector := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: labels.Line, Content: []*yaml.Node{word(labels, "!!str", "matchLabels"), flat(labels)}}
		set(spec, "selector", selector)
		d.say(labels, note.Changed, "spec.selector", "it is required, and that of the template's labels")
	}
	template := get(spec, "template", "spec")
	if r := get(template, "restartPolicy"); r != nil && text(r) != "Always" {
		remove(template, "restartPolicy")
		d.say(r, note.Changed, "spec.template.spec.restartPolicy", "%s is left out: a %s always restarts its containers; a Pod or a Job need not", r.Value, d.kind)
	}
	for _, key := range []string{"rollbackTo", "templateGeneration"} {
		if n := get(spec, key); n != nil {
			remove(spec, key)
			d.say(n, note.Changed, "spec."+key, "left out: Kubernetes has removed it")
		}
	}
}

var komposeClaim = regexp.MustCompile(`-claim[0-9]+$`)

// claim mends a claim, and tells of podman's volumes.
func (d *doc) claim() {
	m := get(d.root, "metadata")
	a := get(m, "annotations")
	if a != nil && a.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(a.Content); i += 2 {
			if key := a.Content[i].Value; strings.HasPrefix(key, "volume.podman.io/") {
				d.say(a.Content[i], note.Lost, "metadata.annotations."+key, "a claim is a directory of this machine, without a driver and options: mount it on the machine (/etc/fstab), and use hostPath, for others")
			}
		}
	}
	if get(m, "labels", "io.kompose.service") != nil && komposeClaim.MatchString(text(get(m, "name"))) {
		d.say(m, note.Todo, "metadata.name", "kompose has made this claim of a path of the machine, and it begins empty: use hostPath in its place, or copy the files into it")
	}
}

// service tells of ports that kompose does not publish.
func (d *doc) service() {
	if t := text(get(d.root, "spec", "type")); (t == "" || t == "ClusterIP") && get(d.root, "metadata", "labels", "io.kompose.service") != nil && text(get(d.root, "spec", "clusterIP")) != "None" {
		d.say(get(d.root, "spec"), note.Todo, "spec.type", "only pods and this machine reach it; type: LoadBalancer opens its ports on the machine's addresses")
	}
}
