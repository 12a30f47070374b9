package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// emptyFields are the fields of a pod's status that stay empty, by their Go names, and why. A field that is in none of the pods of
// TestStatusFields and not here is forgotten.
var emptyFields = map[string]string{
	"PodStatus.NominatedNodeName":                    "there is no scheduler",
	"PodStatus.EphemeralContainerStatuses":           "ephemeral containers are refused: nobody could add one to a manifest while its pod runs",
	"PodStatus.Resize":                               "the API has given it up for conditions",
	"PodStatus.ResourceClaimStatuses":                "resource claims are refused: only a cluster allocates them",
	"PodStatus.ExtendedResourceClaimStatus":          "resource claims are refused: only a cluster allocates them",
	"PodStatus.NodeAllocatableResourceClaimStatuses": "resource claims are refused: only a cluster allocates them",
	"PodStatus.VolumeHealth":                         "it is what drivers of CSI volumes tell, and there are none",
	"PodCondition.LastProbeTime":                     "a kubelet leaves it empty as well: conditions are not asked for",
	"ContainerStatus.AllocatedResourcesStatus":       "it is of devices whose plugin tells how they are; CDI devices have none",
}

// TestStatusFields: of what the API has in a pod's status each field is filled by some pod, or has a reason.
func TestStatusFields(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	rich := strings.NewReplacer("  hostNetwork: true\n", "", "PeriodSeconds: 2", "PeriodSeconds: 100").Replace(shell("rich", lingers("rich"), strings.TrimSpace(`
os: {name: linux}
resources: {requests: {cpu: 20m, memory: 32Mi}, limits: {memory: 64Mi}}
securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}
volumes: [{name: v, hostPath: {path: `+b.path("v")+`, type: DirectoryOrCreate}}, {name: image, image: {reference: 'solopod.example/box:1'}}]
initContainers:
- {name: first, image: 'solopod.example/box:1', command: ['true']}
- {name: car, image: 'solopod.example/box:1', restartPolicy: Always, command: [sh, -c, 'trap "exit 0" TERM; sleep 1000 & wait']}
`))) + `    resources: {requests: {cpu: 10m}, limits: {memory: 32Mi}}
    lifecycle: {stopSignal: SIGTERM}
    volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /r, readOnly: true}, {name: v, mountPath: /rr, readOnly: true, recursiveReadOnly: Enabled}, {name: image, mountPath: /i}]
    securityContext: {runAsUser: 0}
`
	b.apply("rich.yaml", rich)
	b.apply("over.yaml", shell("over", forever, "activeDeadlineSeconds: 1"))
	b.apply("unready.yaml", shell("unready", forever, "")+"    readinessProbe: {exec: {command: ['false']}}\n")
	b.apply("web.yaml", workload("apps/v1", "Deployment", "web", "selector: {matchLabels: {app: x}}\n"+template(forever, "")))
	b.apply("job.yaml", workload("batch/v1", "Job", "job", template(forever, "restartPolicy: Never")))
	b.killContainer(b.waitReady("rich"), "main")
	pod := b.waitPod("rich", "running again", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").RestartCount == 1 })
	b.waitPhase("over", v1.PodFailed)
	b.waitPod("unready", "not ready", func(p *v1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
			return c.Type == v1.PodReady && c.Message == "containers with unready status: [main]"
		})
	})

	filled := map[string]bool{}
	var list v1.PodList
	if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	note := func(of any) {
		v := reflect.ValueOf(of)
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			fields[name] = true
			filled[name] = filled[name] || !v.Field(i).IsZero()
		}
	}
	note(v1.PodStatus{})
	note(v1.ContainerStatus{})
	note(v1.PodCondition{})
	note(v1.VolumeMountStatus{})
	for i := range list.Items {
		s := &list.Items[i].Status
		note(*s)
		for _, c := range s.Conditions {
			note(c)
		}
		for _, c := range slices.Concat(s.InitContainerStatuses, s.ContainerStatuses) {
			note(c)
			for _, m := range c.VolumeMounts {
				note(m)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch reason := emptyFields[name]; {
		case filled[name] && reason != "":
			t.Errorf("%s is filled, and the table says why it is not: %s", name, reason)
		case !filled[name] && reason == "":
			t.Errorf("%s is empty, and no reason is given", name)
		}
	}
	for name := range emptyFields {
		if !fields[name] {
			t.Errorf("there is no field %s", name)
		}
	}

	// What they say.
	expect := func(p *v1.Pod) {
		t.Helper()
		c := status(p, "main")
		for what, is := range map[string]bool{
			"the image":               c.Image == "solopod.example/box:1" && strings.HasPrefix(c.ImageID, "solopod.example/box@sha256:"),
			"the user":                c.User != nil && c.User.Linux.UID == 0 && c.User.Linux.GID == 2000 && fmt.Sprint(c.User.Linux.SupplementalGroups) == "[2000 3000]",
			"a sidecar's user":        p.Status.InitContainerStatuses[1].User.Linux.UID == 1000,
			"the signal":              c.StopSignal != nil && *c.StopSignal == "SIGTERM",
			"the resources":           c.Resources.Limits.Memory().String() == "32Mi" && c.AllocatedResources.Cpu().String() == "10m" && c.AllocatedResources.Memory().String() == "32Mi",
			"the pod's resources":     p.Status.Resources.Limits.Memory().String() == "64Mi" && p.Status.AllocatedResources.Cpu().String() == "20m",
			"the mounts":              len(c.VolumeMounts) == 4 && c.VolumeMounts[0].RecursiveReadOnly == nil && *c.VolumeMounts[1].RecursiveReadOnly == v1.RecursiveReadOnlyDisabled && *c.VolumeMounts[2].RecursiveReadOnly == v1.RecursiveReadOnlyEnabled,
			"the volume's image":      strings.HasPrefix(c.VolumeMounts[3].VolumeStatus.Image.ImageRef, "solopod.example/box@sha256:"),
			"the generation":          p.Generation == 1 && p.Status.ObservedGeneration == 1,
			"the source":              p.Annotations["kubernetes.io/config.source"] == "file" && p.Annotations["kubernetes.io/config.mirror"] == p.Annotations["kubernetes.io/config.hash"],
			"when it was seen":        p.Annotations["kubernetes.io/config.seen"] == pod.Annotations["kubernetes.io/config.seen"],
			"the hash of its content": p.Annotations["kubernetes.io/config.hash"] == pod.Annotations["kubernetes.io/config.hash"],
		} {
			if !is {
				t.Errorf("%s is not as it should be: %+v", what, c)
			}
		}
	}
	expect(pod)
	for name, want := range map[string]string{"web-0": "apps/v1 Deployment web true", "job-0": "batch/v1 Job job true", "rich": ""} {
		got := ""
		for _, o := range b.pod(v1.NamespaceDefault, name).OwnerReferences {
			got = fmt.Sprint(o.APIVersion, " ", o.Kind, " ", o.Name, " ", *o.Controller)
			if o.UID == "" {
				t.Errorf("the owner of %s has no UID", name)
			}
		}
		if got != want {
			t.Errorf("the owner of %s is %q", name, got)
		}
	}
	if out := b.run("describe", "pod", "web-0"); !strings.Contains(out, "Controlled By:   Deployment/web\n") {
		t.Errorf("describe says\n%s", out)
	}
	b.stop(syscall.SIGKILL)
	b.start()
	expect(b.waitReady("rich"))

	// An edit whose image is absent is there, and not taken. One that is taken waits for the old container, which is shown meanwhile.
	b.apply("rich.yaml", strings.Replace(rich, "    image: solopod.example/box:1\n", "    image: solopod.example/none:1\n    imagePullPolicy: Never\n", 1))
	pod = b.waitPod("rich", "edited, and as before", func(p *v1.Pod) bool { return p.Generation == 2 && p.Status.ObservedGeneration == 1 })
	if c := status(pod, "main"); c.State.Running == nil || pod.Spec.Containers[0].Image != "solopod.example/box:1" {
		t.Errorf("while its edit waits it is shown as %+v", c)
	}
	b.apply("rich.yaml", strings.Replace(rich, "rich starts", "rich starts anew", 1))
	pod = b.waitPod("rich", "edited, and running", func(p *v1.Pod) bool { return p.Generation == 3 && p.Status.ObservedGeneration == 3 })
	before := status(pod, "main")
	if before.State.Running == nil || before.Image != "solopod.example/box:1" || before.ImageID == "" || !strings.Contains(pod.Spec.Containers[0].Args[0], "anew") {
		t.Errorf("while it ends it is shown as %+v", before)
	}
	b.writeFile("v/go-rich", "")
	b.waitPod("rich", "made anew", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").ContainerID != before.ContainerID })
	// All are stopped, which was not their own doing; what had ended before had.
	b.run("drain")
	for name, want := range map[string]v1.ConditionStatus{"web-0": v1.ConditionTrue, "job-0": v1.ConditionTrue, "over": ""} {
		got := v1.ConditionStatus("")
		for _, c := range b.pod(v1.NamespaceDefault, name).Status.Conditions {
			if c.Type == v1.DisruptionTarget && c.Reason == v1.PodReasonTerminationByKubelet {
				got = c.Status
			}
		}
		if got != want {
			t.Errorf("after a drain DisruptionTarget of %s is %q, not %q", name, got, want)
		}
	}
}

// TestPullBackoff: a pull that fails is ErrImagePull, then one that waits, and so again after the next.
func TestPullBackoff(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.apply("none.yaml", strings.Replace(shell("none", forever, ""), "solopod.example/box:1", "127.0.0.1:1/none:1", 1))
	var order []string
	b.waitPod("none", "pulled twice", func(p *v1.Pod) bool {
		if w := status(p, "main").State.Waiting; w != nil && (len(order) == 0 || order[len(order)-1] != w.Reason) {
			order = append(order, w.Reason)
			if w.Reason == "ImagePullBackOff" && !strings.Contains(w.Message, `Back-off pulling image "127.0.0.1:1/none:1": ErrImagePull: `) {
				t.Errorf("its message is %s", w.Message)
			}
		}
		return len(order) == 4
	})
	if got := strings.Join(order, " "); got != "ContainerCreating ErrImagePull ImagePullBackOff ErrImagePull" {
		t.Errorf("it was %s", got)
	}
	if err := b.eventSays("Back-off pulling image"); err != nil {
		t.Error(err)
	}
	// A redirect to another host is a success of a probe, with a warning.
	b.apply("redirects.yaml", strings.Replace(shell("redirects", `while true; do printf 'HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 5\r\n\r\nthere' | nc -l -p 8080; done`, ""), "  hostNetwork: true\n", "", 1)+
		"    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}\n")
	b.waitReady("redirects")
	b.eventually("the warning is told", func() error {
		return b.eventSays("Readiness probe warning: the redirect to another host (status 302) was not followed: there")
	})
}
