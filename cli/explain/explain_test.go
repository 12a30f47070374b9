package explain

import (
	"slices"
	"strings"
	"testing"

	"github.com/solopod/solopod/manifests/decode"
)

// What is asked for is found, by any word for a kind, and says what is done with it.
func TestLook(t *testing.T) {
	for path, want := range map[string]string{ // its head, and what is done with it
		"pod.spec.containers.livenessProbe":                  "livenessProbe\t<Probe> implemented",
		"po.spec.containers":                                 "containers\t<[]Container> -required- implemented",
		"Pods.spec.containers[0].ports[*].containerPort":     "containerPort\t<integer> -required- implemented",
		"pod.spec.volumes.nfs":                               "nfs\t<NFSVolumeSource> refused",
		"pod.spec.volumes.nfs.path":                          "path\t<string> -required- refused", // as what it lies in
		"pod.spec.affinity.podAffinity":                      "podAffinity\t<PodAffinity> without effect",
		"deploy.spec.strategy.rollingUpdate.maxSurge":        "maxSurge\t<IntOrString> implemented",
		"deployments.spec.paused":                            "paused\t<boolean> refused",
		"cj.spec.jobTemplate.spec.template.spec.nodeName":    "nodeName\t<string> without effect",
		"pvc.spec.resources.requests":                        "requests\t<map[string]Quantity> implemented",
		"secret.data":                                        "data\t<map[string]string> implemented",
		"svc.spec.ports":                                     "ports\t<[]ServicePort> implemented",
		"netpol.spec.ingress.from.ipBlock.cidr":              "cidr\t<string> -required- implemented",
		"pod.metadata.labels":                                "labels\t<map[string]string> implemented",
		"pod.apiVersion":                                     "apiVersion\t<string> implemented",
		"pod.spec.containers.securityContext.windowsOptions": "windowsOptions\t<WindowsSecurityContextOptions> refused",
	} {
		a, err := Look(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := a.head() + " " + string(a.Does); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if a.Doc == "" {
			t.Errorf("%s has no text", path)
		}
	}
	for path, want := range map[string]string{
		"pod.spec.containers.livenesProbe": `pod.spec.containers has no field "livenesProbe"; did you mean livenessProbe?`,
		"pod.spec.xyzzy.y":                 `pod.spec has no field "xyzzy"; it has volumes, initContainers,`,
		"deplyment":                        "did you mean deployment?",
		"ingress":                          `there is no kind "ingress"; begin with one of pod, deployment,`,
		"secret.data.password":             "secret.data has no fields: it is a map[string]string",
		"":                                 `there is no kind ""`,
		"pod..spec":                        `pod has no field ""`,
	} {
		if _, err := Look(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

// Every field of every kind has a verdict, and all of each fits 80 columns but for words that are longer.
func TestAll(t *testing.T) {
	visited := 0
	var visit func(path string, depth int)
	visit = func(path string, depth int) {
		a, err := Look(path)
		if err != nil {
			t.Fatal(err)
		}
		visited++
		var b strings.Builder
		if err := a.Write(&b, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if strings.HasPrefix(line, "    ") && len(line) > width && len(strings.Fields(line)) > 1 {
				t.Errorf("%s: a line of %d columns: %s", path, len(line), line)
			}
		}
		for _, f := range a.Fields {
			if f.Does == "" && (a.Does == "" || a.Does == decode.Implemented) {
				t.Errorf("%s.%s has no verdict", path, f.Name)
			}
			if depth > 0 {
				visit(path+"."+f.Name, depth-1)
			}
		}
	}
	for _, k := range kinds {
		visit(strings.ToLower(k.name()), 4)
	}
	if visited < 1000 {
		t.Errorf("%d were visited", visited)
	}
}

// What explain knows is what a manifests directory takes.
func TestKinds(t *testing.T) {
	for _, k := range kinds {
		text := "apiVersion: " + k.group.String() + "\nkind: " + k.name() + "\nmetadata: {name: x}\n"
		_, problems := decode.Decode("x.yaml", []byte(text), decode.Options{})
		for _, p := range problems {
			if text := p.Error(); strings.Contains(text, " kind: ") || strings.Contains(text, " apiVersion: ") {
				t.Errorf("%s: %s", k.name(), text)
			}
		}
	}
}

// A tree has each field once at its place, and does not look into what is refused.
func TestTree(t *testing.T) {
	a, err := Look("pod.spec.volumes")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := a.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"  emptyDir\t<EmptyDirVolumeSource>\n    medium\t<string>\n", "  nfs\t<NFSVolumeSource> (refused)\n  persistentVolumeClaim\t", "  name\t<string> -required-\n"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in\n%s", line, b.String())
		}
	}
}

func TestComplete(t *testing.T) {
	for begun, want := range map[string]string{"dep": "deployments", "pod.spec.cont": "pod.spec.containers", "pod.spec.containers[0].liv": "pod.spec.containers[0].livenessProbe"} {
		if got := Complete(begun); !slices.Contains(got, want) {
			t.Errorf("%s: %v", begun, got)
		}
	}
	if got := Complete("nonsense.x"); got != nil {
		t.Errorf("%v", got)
	}
}
