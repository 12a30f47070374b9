package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

func rules(t *testing.T, text string) *Policy {
	t.Helper()
	var r Rules
	if err := yaml.UnmarshalStrict([]byte(text), &r); err != nil {
		t.Fatal(text, err)
	}
	p, err := New(PodSecurity{}, r)
	if err != nil {
		t.Fatal(text, err)
	}
	return p
}

// Each rule with pods that keep to it, and the nearest ones that do not: with the fields that are refused.
func TestRules(t *testing.T) {
	// pod has fields of the pod, and of its container, in braces.
	pod := func(podFields, containerFields string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {" + podFields + " containers: [{name: c, image: web, " + containerFields + "}]}}"
	}
	image := func(name string) string { return strings.Replace(pod("", ""), "image: web", "image: "+name, 1) }
	mount := func(path, fields string) string {
		return pod("volumes: [{name: v, hostPath: {path: "+path+"}}], ", "volumeMounts: [{name: v, mountPath: /v, "+fields+"}]")
	}
	const main, vol = "spec.containers[0].", "spec.volumes[0].hostPath.path"
	const paths = "hostPaths: [{pathPrefix: /srv}, {pathPrefix: /srv/conf/, readOnly: true}, {pathPrefix: /etc/ssl, readOnly: true}]"
	for _, c := range []struct{ rules, pod, paths string }{
		{"{}", pod("hostNetwork: true, hostPID: true, hostIPC: true, volumes: [{name: v, hostPath: {path: /dev/sda, type: BlockDevice}}],", "securityContext: {privileged: true, capabilities: {add: [ALL]}}, ports: [{containerPort: 1, hostPort: 1}]"), ""},

		{"privileged: false", pod("", "securityContext: {privileged: true}"), main + "securityContext.privileged"},
		{"privileged: false", pod("", "securityContext: {privileged: false}"), ""},
		{"privileged: true", pod("", "securityContext: {privileged: true}"), ""},
		{"privileged: false", pod("initContainers: [{name: i, image: i, restartPolicy: Always, securityContext: {privileged: true}}],", ""), "spec.initContainers[0].securityContext.privileged"},

		{"hostNamespaces: []", pod("hostNetwork: true, hostPID: true, hostIPC: true,", ""), "spec.hostIPC spec.hostNetwork spec.hostPID"},
		{"hostNamespaces: [network]", pod("hostNetwork: true, hostPID: true,", ""), "spec.hostPID"},
		{"hostNamespaces: [network, ipc]", pod("hostNetwork: true, hostIPC: true,", ""), ""},

		{"hostPorts: []", pod("", "ports: [{containerPort: 80}]"), ""},
		{"hostPorts: []", pod("", "ports: [{containerPort: 80, hostPort: 80}]"), main + "ports[0].hostPort"},
		{"hostPorts: [{min: 80}, {min: 8000, max: 8999}]", pod("", "ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2, hostPort: 8000}, {containerPort: 3, hostPort: 8999}]"), ""},
		{"hostPorts: [{min: 80}, {min: 8000, max: 8999}]", pod("", "ports: [{containerPort: 1, hostPort: 79}, {containerPort: 2, hostPort: 7999}, {containerPort: 3, hostPort: 9000}]"), main + "ports[0].hostPort " + main + "ports[1].hostPort " + main + "ports[2].hostPort"},
		{"hostPorts: [{min: 80}]", pod("hostNetwork: true,", "ports: [{containerPort: 81}]"), main + "ports[0].hostPort"}, // with the host's network each port is one of the host

		{paths, mount("/srv", "readOnly: true"), ""},
		{paths, mount("/srv/", "readOnly: true"), ""},
		// What may only be read lies below: it could be written to through its directory.
		{paths, mount("/srv", ""), main + "volumeMounts[0].readOnly"},
		{paths, mount("/srv/.", "subPath: conf"), main + "volumeMounts[0].readOnly"},
		{paths, mount("/srv", "readOnly: true, mountPropagation: HostToContainer"), main + "volumeMounts[0].mountPropagation"},
		{"hostPaths: [{pathPrefix: /}, {pathPrefix: /etc, readOnly: true}]", mount("/", ""), main + "volumeMounts[0].readOnly"},
		{"hostPaths: [{pathPrefix: /}, {pathPrefix: /etc, readOnly: true}]", mount("/srv", ""), ""},
		{paths, mount("//srv//a", ""), ""},
		{paths, mount("/srv/a/b", ""), ""},
		{paths, mount("/srvx", ""), vol},
		{paths, mount("/sr", ""), vol},
		{paths, mount("/", ""), vol},
		{paths, mount("/srv/../etc", ""), vol},
		{paths, mount("/srv/./../etc/", ""), vol},
		{paths, mount("/srv/..", ""), vol},
		{paths, mount("/srv/conf", "readOnly: true"), ""},
		{paths, mount("/srv/conf", ""), main + "volumeMounts[0].readOnly"},
		{paths, mount("/srv/conf/x", ""), main + "volumeMounts[0].readOnly"},
		{paths, mount("/srv/config", ""), ""},
		{paths, mount("/srv/config", "mountPropagation: HostToContainer"), ""},
		{paths, mount("/srv/conf", "readOnly: true, mountPropagation: None"), ""},
		{paths, mount("/srv/conf", "readOnly: true, mountPropagation: HostToContainer"), main + "volumeMounts[0].mountPropagation"},
		{paths, mount("/etc/ssl/certs", "readOnly: true"), ""},
		{paths, mount("/etc/ssl/certs", "readOnly: false"), main + "volumeMounts[0].readOnly"},
		{paths, pod("volumes: [{name: v, hostPath: {path: /etc}}],", ""), vol}, // mounted or not
		{paths, pod("volumes: [{name: a, emptyDir: {}}, {name: b, persistentVolumeClaim: {claimName: x}}, {name: c, configMap: {name: x}}],", ""), ""},
		{paths, pod("volumes: [{name: v, hostPath: {path: /etc/ssl}}], initContainers: [{name: i, image: i, volumeMounts: [{name: v, mountPath: /v}]}],", "volumeMounts: [{name: v, mountPath: /v, readOnly: true}, {name: v, mountPath: /w}]"),
			main + "volumeMounts[1].readOnly spec.initContainers[0].volumeMounts[0].readOnly"},
		{"hostPaths: []", mount("/srv", ""), vol},
		{"hostPaths: [{pathPrefix: /}]", mount("/etc", ""), ""},
		{"hostPaths: [{pathPrefix: /, readOnly: true}, {pathPrefix: /srv}]", mount("/srv/a", ""), ""},
		{"hostPaths: [{pathPrefix: /, readOnly: true}, {pathPrefix: /srv}]", mount("/etc", ""), main + "volumeMounts[0].readOnly"},

		{"devices: []", pod("volumes: [{name: v, hostPath: {path: /dev/fuse}}],", ""), vol},
		{"devices: []", pod("volumes: [{name: v, hostPath: {path: /srv/disk, type: BlockDevice}}],", ""), vol},
		{"devices: []", pod("volumes: [{name: v, hostPath: {path: /srv/disk}}],", ""), ""}, // what it is shows at the set-up
		{"devices: [/dev/fuse, /dev/dri]", pod("volumes: [{name: v, hostPath: {path: /dev/fuse, type: CharDevice}}, {name: w, hostPath: {path: /dev/dri/card0}}],", ""), ""},
		{"devices: [/dev/fuse]", pod("volumes: [{name: v, hostPath: {path: /dev/fuse2}}],", ""), vol},
		{"{devices: [/dev/fuse], hostPaths: []}", pod("volumes: [{name: v, hostPath: {path: /dev/fuse}}],", ""), ""},
		{"{devices: [/dev/fuse], hostPaths: [{pathPrefix: /}]}", pod("volumes: [{name: v, hostPath: {path: /dev/sda}}],", ""), vol},
		{"devices: [vendor.example/gpu]", pod("", "resources: {limits: {vendor.example/gpu: 1, cpu: 1, memory: 1Gi, hugepages-2Mi: 2Mi}}"), ""},
		{"devices: [vendor.example/gpu]", pod("", "resources: {limits: {vendor.example/cam: 1}}"), main + "resources.limits.vendor.example/cam"},
		{"devices: []", strings.Replace(pod("", ""), "{name: p}", `{name: p, annotations: {cdi.k8s.io/a: "vendor.example/gpu=0"}}`, 1), "metadata.annotations.cdi.k8s.io/a"},
		{"devices: [vendor.example/gpu]", strings.Replace(pod("", ""), "{name: p}", `{name: p, annotations: {cdi.k8s.io/a: "vendor.example/gpu=0, vendor.example/gpu=all"}}`, 1), ""},
		{"devices: [vendor.example/gpu]", strings.Replace(pod("", ""), "{name: p}", `{name: p, annotations: {cdi.k8s.io/a: "vendor.example/gpu=0,vendor.example/cam=1"}}`, 1), "metadata.annotations.cdi.k8s.io/a"},

		{"capabilities: []", pod("", "securityContext: {capabilities: {add: [CHOWN], drop: [ALL]}}"), main + "securityContext.capabilities.add[0]"},
		{"capabilities: [CAP_chown]", pod("", "securityContext: {capabilities: {add: [CHOWN, NET_RAW]}}"), main + "securityContext.capabilities.add[1]"},
		{"capabilities: [CHOWN]", pod("", "securityContext: {capabilities: {add: [ALL]}}"), main + "securityContext.capabilities.add[0]"},
		{"capabilities: [ALL]", pod("", "securityContext: {capabilities: {add: [SYS_ADMIN]}}"), ""},

		{"registries: [docker.io]", image("nginx"), ""},
		{"registries: [docker.io]", image("docker.io/library/nginx:1"), ""},
		{"registries: [docker.io]", image("quay.io/nginx"), main + "image"},
		{"registries: [docker.io]", image("docker.io.evil.example/library/nginx"), main + "image"},
		{"registries: [quay.io, localhost:5000]", image("localhost:5000/a/b"), ""},
		{"registries: ['*.example.com']", image("r.example.com/a"), ""},
		{"registries: ['*.example.com']", image("example.com/a"), main + "image"},
		{"registries: ['*.example.com']", image("evilexample.com/a"), main + "image"},
		{"registries: []", image("nginx"), main + "image"},
		{"registries: [Registry.Example.com]", image("registry.example.com/a"), ""}, // hosts have no case
		{"registries: ['*.Example.com']", image("R.example.COM/a"), ""},
		{"images: [Registry.Example.com/team/*]", image("registry.example.com/team/a"), ""},
		{"registries: [quay.io]", pod("initContainers: [{name: i, image: i}], volumes: [{name: v, image: {reference: quay.io/a}}, {name: w, image: {reference: a}}],", ""), main + "image spec.initContainers[0].image spec.volumes[1].image.reference"},

		{"images: [nginx]", image("nginx"), ""},
		{"images: [nginx]", image("docker.io/library/nginx:1.27@sha256:" + strings.Repeat("a", 64)), ""},
		{"images: [nginx]", image("evil/nginx"), main + "image"},
		{"images: [docker.io/library/*]", image("redis@sha256:" + strings.Repeat("a", 64)), ""},
		{"images: [team/*]", image("team/a"), ""},
		{"images: [team/*]", image("team/a/b"), main + "image"},
		{"images: [team/**]", image("team/a/b"), ""},
		{"images: [registry.example.com/team/**]", image("registry.example.com/team/a/b:2"), ""},
		{"images: [registry.example.com/team/**]", image("registry.example.com/teams/a"), main + "image"},
		{"images: [registry.example.com/web-*]", image("registry.example.com/web-1"), ""},
		{"images: ['**']", image("anything.example/x/y/z"), ""},
		{"images: [nginx]", image("'Not An Image'"), main + "image"},
		{"{images: [quay.io/team/*], registries: [docker.io]}", image("quay.io/team/a"), main + "image"}, // each rule must be kept

		{"{privileged: false, namespaces: {kube-system: {hostNamespaces: []}}}", strings.Replace(pod("", "securityContext: {privileged: true}"), "{name: p}", "{name: p, namespace: kube-system}", 1), ""},
		{"{privileged: false, namespaces: {kube-system: {hostNamespaces: []}}}", strings.Replace(pod("hostPID: true,", ""), "{name: p}", "{name: p, namespace: kube-system}", 1), "spec.hostPID"},
		{"{privileged: false, namespaces: {kube-system: {}}}", pod("", "securityContext: {privileged: true}"), main + "securityContext.privileged"},
	} {
		found := []string{}
		problems := rules(t, c.rules).Judge(podOf(t, c.pod))
		for _, f := range problems.Errors() {
			found = append(found, f.Path)
			if !strings.HasPrefix(f.Control, "policy/") || !strings.Contains(f.Message, "policy.") {
				t.Errorf("%s: control %q: %s", c.rules, f.Control, f.Message)
			}
		}
		slices.Sort(found)
		if got := strings.Join(slices.Compact(found), " "); got != c.paths {
			t.Errorf("%s\n%s\nrefused for %q, not for %q", c.rules, c.pod, got, c.paths)
		}
	}
}

func TestBadRules(t *testing.T) {
	for text, says := range map[string]string{
		"hostNamespace: []":                             `did you mean "hostNamespaces"?`,
		"hostNamespaces: [uts]":                         "policy.hostNamespaces[0] is network, pid or ipc",
		"hostNamespaces:":                               "hostNamespaces has no value; write []",
		"privileged:":                                   "privileged has no value",
		"privileged: maybe":                             "privileged:",
		"hostPorts: [{min: 9, max: 8}]":                 "policy.hostPorts[0] is a range",
		"hostPorts: [{min: 0, max: 8}]":                 "policy.hostPorts[0]",
		"hostPorts: [{min: 1, max: 65536}]":             "policy.hostPorts[0]",
		"hostPorts: [{from: 1}]":                        "hostPorts: unknown field",
		"hostPorts: [80]":                               "expected an object, found 80",
		"hostPaths: [{pathPrefix: srv}]":                "policy.hostPaths[0].pathPrefix is an absolute path",
		"hostPaths: [{pathPrefix: /srv/../etc}]":        "policy.hostPaths[0].pathPrefix",
		"hostPaths: [{path: /srv}]":                     `unknown field "path"`,
		"hostPaths: [{pathPrefix: /a, readonly: true}]": `did you mean "readOnly"?`,
		"devices: [/]":                                  "policy.devices[0]",
		"devices: [fuse]":                               "policy.devices[0] is a path like /dev/fuse",
		"capabilities: ['']":                            "policy.capabilities[0]",
		"registries: [https://r.example.com]":           "policy.registries[0] is a host",
		"registries: ['']":                              "policy.registries[0]",
		"images: ['nginx:1.27']":                        "policy.images[0] is the name of an image without tag",
		"images: ['[']":                                 "policy.images[0]",
		"namespaces: {a: {privilegd: true}}":            `did you mean "privileged"?`,
		"namespaces: {a: }":                             "has no value",
		"namespaces: {a: {namespaces: {b: {}}}}":        "a namespace has no others in it",
		"namespaces: {a: {hostPorts: [{min: -1}]}}":     "policy.namespaces.a.hostPorts[0]",
		"namespaces: {A: {}}":                           "is no namespace",
	} {
		var r Rules
		err := yaml.UnmarshalStrict([]byte(text), &r)
		if err == nil {
			_, err = New(PodSecurity{}, r)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, not %q", text, err, says)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		rules, path string
		roots       string
		noDevice    bool
		readOnly    bool
	}{
		{"{}", "/srv/a", "", false, false},
		{"hostPaths: [{pathPrefix: /srv}]", "/srv/a", "/srv", false, false},
		{"hostPaths: [{pathPrefix: /srv/a/b}, {pathPrefix: /srv}, {pathPrefix: /srv/x}]", "/srv/a/b/c", "/srv /srv/a/b", false, false},
		{"hostPaths: [{pathPrefix: /}, {pathPrefix: /srv}]", "/srv/a", "/srv", false, false},
		{"hostPaths: [{pathPrefix: /}]", "/srv/a", "", false, false},
		{"hostPaths: [{pathPrefix: /srv}]", "/etc", "", false, false}, // let in before
		{"{hostPaths: [{pathPrefix: /srv}], devices: []}", "/srv/a", "/srv", true, false},
		{"{hostPaths: [{pathPrefix: /}], devices: [/dev/fuse]}", "/dev/fuse", "", false, false},
		{"{hostPaths: [{pathPrefix: /}], devices: [/dev/fuse]}", "/", "", false, false},
		{"{hostPaths: [{pathPrefix: /srv}], namespaces: {default: {}}}", "/srv/a", "", false, false},
		{"hostPaths: [{pathPrefix: /, readOnly: true}]", "/etc", "", false, true},
		{"hostPaths: [{pathPrefix: /srv}, {pathPrefix: /srv/conf, readOnly: true}]", "/srv/conf", "/srv /srv/conf", false, true},
		{"hostPaths: [{pathPrefix: /srv, readOnly: true}, {pathPrefix: /srv/data}]", "/srv/data", "/srv /srv/data", false, false},
	} {
		b := rules(t, c.rules).HostPath("default", &v1.HostPathVolumeSource{Path: c.path, Type: ptr.To(v1.HostPathUnset)})
		if got := strings.Join(b.Roots, " "); got != c.roots || b.NoDevice != c.noDevice || b.ReadOnly != c.readOnly || b.Any() != (c.roots != "" || c.noDevice) {
			t.Errorf("%s, %s: %+v", c.rules, c.path, b)
		}
	}
}

// A pod that breaks a rule ten thousand times costs little, and what is said of it is bounded.
func TestManyProblems(t *testing.T) {
	pod := podOf(t, strictPod("", "", ""))
	for range 10000 {
		pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: "c", Image: "i", SecurityContext: &v1.SecurityContext{Privileged: ptr.To(true)}})
		pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/"}}})
		pod.Spec.SecurityContext.Sysctls = append(pod.Spec.SecurityContext.Sysctls, v1.Sysctl{Name: "kernel.msgmax"})
	}
	p, err := New(PodSecurity{Enforce: "restricted"}, Rules{Privileged: ptr.To(false)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if n := len(p.Judge(pod)); n != 2*maxProblems {
		t.Errorf("it is refused for %d reasons", n)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if said := p.Admit(pod).Error(); len(said) > 4096 || !strings.Contains(said, "and 195 more") {
		t.Errorf("admission says %d bytes: %s", len(said), said)
	}
}
