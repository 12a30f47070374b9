package policy

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/manifests"
)

// Whatever a pod is made of, it is judged, each problem has a field, and who keeps to restricted keeps to baseline.
func FuzzJudge(f *testing.F) {
	for _, seed := range []string{
		strictPod("", ", privileged: true", ""), strictPod("  hostPID: true\n", "", ""), strictPod("", ", seLinuxOptions: {type: x}", ""),
		strictPod("  volumes: [{name: v, hostPath: {path: /srv/../etc}}]\n", "", ", livenessProbe: {exec: {}}, lifecycle: {preStop: {}}"),
	} {
		text, err := yaml.YAMLToJSON([]byte(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	var r Rules
	if err := yaml.UnmarshalStrict([]byte("{privileged: false, hostNamespaces: [], hostPorts: [{min: 80}], serviceAddresses: [192.0.2.0/24], hostPaths: [{pathPrefix: /srv}], devices: [/dev/fuse], capabilities: [], registries: [docker.io], images: [team/**]}"), &r); err != nil {
		f.Fatal(err)
	}
	level := func(name string, r Rules) *Policy {
		p, err := New(PodSecurity{Enforce: name}, r)
		if err != nil {
			f.Fatal(err)
		}
		return p
	}
	restricted, baseline := level("restricted", r), level("baseline", Rules{})
	f.Fuzz(func(t *testing.T, data []byte) {
		pod := &v1.Pod{}
		if json.Unmarshal(data, pod) != nil {
			return
		}
		manifests.SetDefaults(pod)
		for _, v := range pod.Spec.Volumes {
			if v.HostPath == nil {
				continue
			}
			b := restricted.HostPath(pod.Namespace, v.HostPath)
			if len(b.Roots) > 1 || len(b.Roots) == 1 && b.Roots[0] != "/srv" {
				t.Errorf("%q: %+v", v.HostPath.Path, b)
			}
		}
		found := restricted.Judge(pod)
		for _, p := range found {
			if p.Path == "" || p.Control == "" || p.Message == "" || p.Warning {
				t.Errorf("%+v", p)
			}
			if strings.HasPrefix(p.Control, "podSecurity/") && p.Path == "spec" {
				t.Errorf("no field: %+v", p)
			}
		}
		if len(found) == 0 && len(baseline.Judge(pod)) > 0 {
			t.Error("restricted allows what baseline does not")
		}
	})
}

// Whatever stands in the configuration, it is read or refused.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"baseline", "{enforce: baseline, namespaces: {a: privileged}}", "{hostPorts: [{min: 1}], images: ['a/**', '[']}", "{hostPaths: [{pathPrefix: //a//../b}]}", "{devices: [a/b, /dev/..]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		var s PodSecurity
		var r Rules
		if yaml.UnmarshalStrict(data, &s) == nil {
			New(s, Rules{}) //nolint:errcheck // it does not fall over
		}
		if yaml.UnmarshalStrict(data, &r) == nil {
			p, err := New(PodSecurity{}, r)
			if err == nil {
				p.Admit(&v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Image: "a/b/c/d"}}}}) //nolint:errcheck // it does not fall over
			}
		}
	})
}

// BenchmarkJudge: what one pod costs that breaks nothing.
func BenchmarkJudge(b *testing.B) {
	pod := &v1.Pod{}
	if err := yaml.Unmarshal([]byte(strictPod("", "", "")), pod); err != nil {
		b.Fatal(err)
	}
	manifests.SetDefaults(pod)
	p, err := New(PodSecurity{Enforce: "restricted", Warn: "baseline"}, Rules{Registries: []string{"docker.io"}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if len(p.Judge(pod)) > 0 {
			b.Fatal("it is refused")
		}
	}
}
