package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/solopod/solopod/workload"
)

func TestParseObjects(t *testing.T) {
	for args, want := range map[string]string{
		"web":                         "pod/web",
		"one two":                     "pod/one pod/two",
		"pod/web deploy/web":          "pod/web deployment/web",
		"deploy web db":               "deployment/web deployment/db",
		"Deployments.apps/web sts/db": "deployment/web statefulset/db",
		"job":                         "pod/job", // a single word is a pod's name
		"svc/front":                   "service/front",
	} {
		got, err := parseObjects(strings.Fields(args))
		var names []string
		for _, o := range got {
			names = append(names, o.String())
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %v, %v", args, names, err)
		}
	}
	for args, want := range map[string]string{
		"depl/web":      `did you mean "deployments"?`,
		"pod/":          "neither a pod's name nor TYPE/NAME",
		"a/b/c":         "neither a pod's name nor TYPE/NAME",
		"pods web po/x": "a type stands either before all names",
	} {
		if got, err := parseObjects(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", args, got, err)
		}
	}
}

// candidatePod is a pod of several that belong together.
func candidatePod(name string, phase v1.PodPhase, ready time.Duration, restarts int32, age time.Duration) v1.Pod {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
	p.Status = v1.PodStatus{Phase: phase, ContainerStatuses: []v1.ContainerStatus{{RestartCount: restarts}}}
	if ready > 0 {
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-ready))}}
	}
	return p
}

// The pods are in the order in which kubectl prefers them, for sessions and for logs.
func TestPreferredPods(t *testing.T) {
	ending := candidatePod("ending", v1.PodRunning, time.Hour, 0, time.Hour)
	ending.DeletionTimestamp = &metav1.Time{}
	long, short := candidatePod("long", v1.PodRunning, time.Minute, 1, time.Hour), candidatePod("short", v1.PodRunning, time.Second, 0, time.Minute)
	calm, restless := candidatePod("calm", v1.PodRunning, 0, 0, time.Minute), candidatePod("restless", v1.PodRunning, 0, 5, time.Minute)
	old, young := candidatePod("old", v1.PodPending, 0, 0, time.Hour), candidatePod("young", v1.PodPending, 0, 0, time.Minute)
	done := candidatePod("done", v1.PodSucceeded, 0, 0, time.Minute)
	for _, c := range []struct {
		choose func([]v1.Pod) *v1.Pod
		order  []v1.Pod
	}{
		{liveliest, []v1.Pod{long, short, calm, restless, old, young, ending}},
		{telling, []v1.Pod{short, long, restless, calm, done, young, old}},
	} {
		for i := range c.order {
			rest := slices.Clone(c.order[i:])
			slices.Reverse(rest)
			if got := c.choose(rest); got.Name != c.order[i].Name {
				t.Errorf("%s is chosen, not %s", got.Name, c.order[i].Name)
			}
		}
	}
}

func TestControlledBy(t *testing.T) {
	owned := func(kind, name string) *v1.Pod {
		yes := true
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &yes}}}}
	}
	for name, c := range map[string]struct {
		pod  *v1.Pod
		of   string
		want bool
	}{
		"its deployment":          {owned("Deployment", "web"), "deploy/web", true},
		"another deployment":      {owned("Deployment", "web"), "deploy/we", false},
		"a set of that name":      {owned("StatefulSet", "web"), "deploy/web", false},
		"a run":                   {owned("Job", "backup-29000000"), "cj/backup", true},
		"another one's run":       {owned("Job", "backup-all-29000000"), "cj/backup", false},
		"a job of that name":      {owned("Job", "backup"), "cj/backup", false},
		"a pod that nobody makes": {&v1.Pod{}, "deploy/web", false},
	} {
		o, err := parseObject(c.of)
		if err != nil {
			t.Fatal(err)
		}
		if got := controlledBy(c.pod, o); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestContainerIn(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a"}, {Name: "b"}}, InitContainers: []v1.Container{{Name: "i"}}}}
	by := func(name string) *v1.Pod {
		p := pod.DeepCopy()
		p.Annotations = map[string]string{defaultContainerAnnotation: name}
		return p
	}
	for name, c := range map[string]struct {
		pod               *v1.Pod
		named, want, says string
	}{
		"named":                     {pod, "b", "b", ""},
		"the first":                 {pod, "", "a", "Defaulted container \"a\" out of: a, b, i (init)\n"},
		"by its annotation":         {by("b"), "", "b", ""},
		"by one that names nothing": {by("c"), "", "a", "Defaulted container \"a\" out of: a, b, i (init)\n"},
		"the only one":              {&v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a"}}}}, "", "a", ""},
	} {
		var says bytes.Buffer
		if got, err := containerIn(c.pod, c.named, &says); err != nil || got != c.want || says.String() != c.says {
			t.Errorf("%s: %q, %v, %q", name, got, err, says.String())
		}
	}
	if _, err := containerIn(&v1.Pod{}, "", &bytes.Buffer{}); err == nil {
		t.Error("a pod without containers has one")
	}
}

func TestPorts(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Ports: []v1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}}}
	service := &v1.Service{Spec: v1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []v1.ServicePort{
		{Name: "web", Port: 80, TargetPort: intstr.FromString("http")}, {Name: "same", Port: 81}, {Name: "other", Port: 82, TargetPort: intstr.FromInt32(9000)},
	}}}
	headless := service.DeepCopy()
	headless.Spec.ClusterIP = v1.ClusterIPNone
	for arg, c := range map[string]struct {
		service *v1.Service
		want    string
	}{
		"8080": {nil, "8080 8080"}, "1:2": {nil, "1 2"}, ":2": {nil, "0 2"}, "http": {nil, "8080 8080"}, "9:http": {nil, "9 8080"},
		"80": {service, "80 8080"}, "web": {service, "80 8080"}, "7:81": {service, "7 81"}, ":other": {service, "0 9000"}, "82": {headless, "82 82"},
	} {
		a, err := parsePorts(arg)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.pair(pod, c.service); err != nil || fmt.Sprint(got.local, got.remote) != c.want {
			t.Errorf("%s: %v, %v, want %s", arg, got, err, c.want)
		}
	}
	for _, arg := range []string{"", ":", "0", "1:0", "70000", "x:80", "80:", "a_b", "-1"} {
		if got, err := parsePorts(arg); err == nil {
			t.Errorf("%q is taken as %+v", arg, got)
		}
	}
}

func TestAwaited(t *testing.T) {
	object := map[string]any{
		"metadata": map[string]any{"generation": int64(2)},
		"status": map[string]any{
			"observedGeneration": int64(2), "phase": "Running", "eq": "a=b",
			"conditions": []any{
				map[string]any{"type": "Ready", "status": "True"}, map[string]any{"type": "Old", "status": "True", "observedGeneration": int64(1)},
				map[string]any{"type": "No", "status": "False"}, "nonsense",
			},
		},
	}
	earlier := map[string]any{"metadata": map[string]any{"generation": int64(3)}, "status": object["status"]}
	for what, want := range map[string][3]bool{ // of the object, of one whose status is of an earlier version, of none
		"condition=Ready":                    {true, false, false},
		"condition=ready=true":               {true, false, false},
		"condition=No=False":                 {true, false, false},
		"condition=No":                       {false, false, false},
		"condition=Old":                      {false, false, false},
		"condition=None":                     {false, false, false},
		"create":                             {true, true, false},
		"delete":                             {false, false, true},
		"jsonpath={.status.phase}=Running":   {true, true, false},
		"jsonpath='{.status.phase}'=Running": {true, true, false},
		"jsonpath=.status.phase=Running":     {true, true, false},
		"jsonpath=status.phase='Running'":    {true, true, false},
		"jsonpath={.status.phase}=Failed":    {false, false, false},
		"jsonpath={.status.phase}":           {true, true, false},
		"jsonpath={.status.none}":            {false, false, false},
		"jsonpath={.status.eq}=a=b":          {true, true, false},
		`jsonpath={.status.conditions[?(@.type=="Ready")].status}=True`: {true, true, false},
	} {
		reached, err := parseAwaited(what)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for i, o := range []map[string]any{object, earlier, nil} {
			if got, err := reached(o); err != nil || got != want[i] {
				t.Errorf("%s of object %d: %v, %v", what, i, got, err)
			}
		}
	}
	for _, what := range []string{"", "nonsense", "condition", "condition=", "jsonpath", "jsonpath={.x", "jsonpath==x"} {
		if _, err := parseAwaited(what); err == nil {
			t.Errorf("%q is taken", what)
		}
	}
}

func TestProgressOf(t *testing.T) {
	for want, c := range map[string]struct {
		kind string
		r    workload.Replicas
	}{
		`Waiting for deployment "x" rollout to finish: 1 out of 3 new replicas have been updated...`:     {"Deployment", workload.Replicas{Desired: 3, Updated: 1}},
		`Waiting for deployment "x" rollout to finish: 2 of 3 updated replicas are available...`:         {"Deployment", workload.Replicas{Desired: 3, Updated: 3, Available: 2}},
		`Waiting for deployment "x" rollout to finish: 1 old replicas are pending termination...`:        {"Deployment", workload.Replicas{Desired: 3, Updated: 3, Available: 3, Surge: 1}},
		`deployment "x" successfully rolled out.`:                                                        {"Deployment", workload.Replicas{Desired: 3, Updated: 3, Available: 3, Complete: true}},
		`Waiting for daemon set "x" rollout to finish: 0 out of 1 new pods have been updated...`:         {"DaemonSet", workload.Replicas{Desired: 1}},
		`daemon set "x" successfully rolled out.`:                                                        {"DaemonSet", workload.Replicas{Desired: 1, Complete: true}},
		`Waiting for 2 pods to be ready...`:                                                              {"StatefulSet", workload.Replicas{Desired: 3, Updated: 3, Ready: 1}},
		`Waiting for statefulset rolling update to complete: 2 of 3 pods have the manifest's version...`: {"StatefulSet", workload.Replicas{Desired: 3, Updated: 2, Ready: 3}},
		`Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...`:           {"StatefulSet", workload.Replicas{Desired: 3, Partition: 2, Ready: 3}},
		`partitioned roll out complete: 1 new pods have been updated....`:                                {"StatefulSet", workload.Replicas{Desired: 3, Partition: 2, Updated: 1, Ready: 3, Complete: true}},
		`statefulset rolling update complete: 3 pods of x have the manifest's version.`:                  {"StatefulSet", workload.Replicas{Desired: 3, Updated: 3, Ready: 3, Complete: true}},
	} {
		line, done, err := progressOf(&workload.Status{Kind: c.kind, Name: "x", Replicas: &c.r})
		if done {
			line += "." // what is done is told apart from what is not
		}
		if err != nil || line != want || done != c.r.Complete {
			t.Errorf("%+v: %q, %v, %v, want %q", c.r, line, done, err, want)
		}
	}
	if _, _, err := progressOf(&workload.Status{Kind: "Deployment", Name: "x", Message: "waiting for x-1", Replicas: &workload.Replicas{Late: true}}); err == nil ||
		err.Error() != `deployment "x" exceeded its progress deadline: waiting for x-1` {
		t.Errorf("%v", err)
	}
}
