package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/internal/shop"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload"
)

// stock is a source of the manifests' objects.
type stock struct{ of workload.Objects }

func (s stock) Objects() workload.Objects            { return s.of }
func (s stock) Subscribe() (<-chan struct{}, func()) { return nil, func() {} }

func madeThen(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(shop.Created), Labels: map[string]string{"app": name}}
}

func templateOf(images ...string) v1.PodTemplateSpec {
	t := v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}}
	for i, image := range images {
		t.Spec.Containers = append(t.Spec.Containers, v1.Container{Name: string(rune('a' + i)), Image: image})
	}
	return t
}

func someObjects() workload.Objects {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	deployment := func(namespace, name string, ready, replicas int32) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: madeThen(namespace, name), Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: selector, Template: templateOf("nginx:1", "side:2")},
			Status: appsv1.DeploymentStatus{Replicas: replicas, ReadyReplicas: ready, UpdatedReplicas: replicas, AvailableReplicas: ready, Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: v1.ConditionTrue, Reason: "MinimumReplicasAvailable", Message: "enough pods are available"},
			}},
		}
	}
	began, ended := metav1.NewTime(shop.Created), metav1.NewTime(shop.Created.Add(75*time.Second))
	job := &batchv1.Job{ObjectMeta: madeThen("default", "backup"), Spec: batchv1.JobSpec{Completions: ptr.To[int32](2), Template: templateOf("backup:1")}, Status: batchv1.JobStatus{
		Succeeded: 2, StartTime: &began, CompletionTime: &ended, Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: v1.ConditionTrue}},
	}}
	cron := &batchv1.CronJob{ObjectMeta: madeThen("default", "nightly"), Spec: batchv1.CronJobSpec{
		Schedule: "30 3 * * *", Suspend: ptr.To(true), ConcurrencyPolicy: batchv1.AllowConcurrent, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: templateOf("b:1")}},
	}}
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("10Gi")}
	secret := &v1.Secret{ObjectMeta: madeThen("default", "password"), Type: v1.SecretTypeOpaque, Data: map[string][]byte{"user": []byte("root"), "word": []byte("hidden-value")}}
	secret.Annotations = map[string]string{v1.LastAppliedConfigAnnotation: "hidden-value", "note": "seen"}
	return workload.Objects{
		Deployments:  []*appsv1.Deployment{deployment("default", "api", 1, 3), deployment("default", "web", 2, 2), deployment("far", "other", 1, 1)},
		ReplicaSets:  []*appsv1.ReplicaSet{{ObjectMeta: madeThen("default", "set"), Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](1), Selector: selector, Template: templateOf("i")}, Status: appsv1.ReplicaSetStatus{Replicas: 1}}},
		StatefulSets: []*appsv1.StatefulSet{{ObjectMeta: madeThen("default", "db"), Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3), Selector: selector, Template: templateOf("db:1")}, Status: appsv1.StatefulSetStatus{ReadyReplicas: 2}}},
		DaemonSets: []*appsv1.DaemonSet{{ObjectMeta: madeThen("default", "agent"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: templateOf("agent:1")}, Status: appsv1.DaemonSetStatus{
			DesiredNumberScheduled: 1, CurrentNumberScheduled: 1, NumberReady: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1,
		}}},
		Jobs: []*batchv1.Job{job}, CronJobs: []*batchv1.CronJob{cron},
		ConfigMaps: []*v1.ConfigMap{{ObjectMeta: madeThen("default", "settings"), Data: map[string]string{"a": "1", "b": "two\nlines"}, BinaryData: map[string][]byte{"c": {1, 2}}}},
		Secrets:    []*v1.Secret{secret},
		Claims: []*v1.PersistentVolumeClaim{{ObjectMeta: madeThen("default", "data"), Spec: v1.PersistentVolumeClaimSpec{VolumeName: "pvc-1"}, Status: v1.PersistentVolumeClaimStatus{
			Phase: v1.ClaimBound, Capacity: size, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
		}}},
		Namespaces: []*v1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default", CreationTimestamp: metav1.NewTime(shop.Created)}, Status: v1.NamespaceStatus{Phase: v1.NamespaceActive}}},
	}
}

// stocked serves those objects, and what of the machine commands ask for.
func stocked(t *testing.T) func(args ...string) (out, errs string, err error) {
	t.Helper()
	run, _ := daemonOf(t, shop.New(), func(mux *http.ServeMux) {
		from := objects.Manifested{Manifests: stock{someObjects()}}
		from.Readers(mux)
		from.Admins(mux)
		answer := func(path string, v any) {
			mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
				if err := json.NewEncoder(w).Encode(v); err != nil {
					t.Error(err)
				}
			})
		}
		answer("/claims", api.Claims{})
		answer("/workloads", api.Workloads{Workloads: []workload.Status{{Kind: "StatefulSet", Namespace: "default", Name: "db", Message: "waiting for db-2"}}})
		answer("/images", api.Images{Images: []api.Image{{Name: "docker.io/library/nginx:1", Size: 5 << 20, Digest: "sha256:0123456789abcdef", CreatedAt: shop.Created}}})
		answer("/manifests", api.Manifests{DirectoryError: "it cannot be read", Files: []manifests.File{{Name: "web.yaml", State: manifests.StateInvalid, Since: shop.Created, Problems: manifests.Problems{{File: "web.yaml", Path: "spec", Message: "it is wrong"}}}}})
		answer("/node", v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "box", CreationTimestamp: metav1.NewTime(shop.Created)}, Status: v1.NodeStatus{
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}, {Type: v1.NodeDiskPressure, Status: v1.ConditionFalse, Reason: "Enough"}},
			Capacity:   v1.ResourceList{v1.ResourceCPU: resource.MustParse("2")}, NodeInfo: v1.NodeSystemInfo{KubeletVersion: "v9"},
		}})
	})
	return run
}

// The tables have kubectl's columns, and fit a terminal.
func TestGetEveryKind(t *testing.T) {
	run := stocked(t)
	for args, want := range map[string]string{
		"get deploy":                  "NAME READY UP-TO-DATE AVAILABLE AGE\napi 1/3 3 1 AGE\nweb 2/2 2 2 AGE\n",
		"get deploy web -o wide":      "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\nweb 2/2 2 2 AGE a,b nginx:1,side:2 app=web\n",
		"get rs":                      "NAME DESIRED CURRENT READY AGE\nset 1 1 0 AGE\n",
		"get sts":                     "NAME READY AGE\ndb 2/3 AGE\n",
		"get ds":                      "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE AGE\nagent 1 1 1 1 1 AGE\n",
		"get jobs":                    "NAME STATUS COMPLETIONS DURATION AGE\nbackup Complete 2/2 75s AGE\n",
		"get cj":                      "NAME SCHEDULE ACTIVE LAST SCHEDULE NEXT AGE\nnightly 30 3 * * * 0 <none> <suspended> AGE\n",
		"get cm":                      "NAME DATA AGE\nsettings 3 AGE\n",
		"get secrets":                 "NAME TYPE DATA AGE\npassword Opaque 2 AGE\n",
		"get pvc":                     "NAME STATUS CAPACITY ACCESS MODES STORAGECLASS AGE\ndata Bound 10Gi RWO <none> AGE\n",
		"get ns":                      "NAME STATUS AGE\ndefault Active AGE\n",
		"get no":                      "NAME STATUS ROLES AGE VERSION\nbox Ready <none> AGE v9\n",
		"get ep":                      "NAME ENDPOINTS AGE\ndb 10.85.0.9:5432 AGE\nweb 10.85.0.5:8080,10.85.0.5:9100,10.85.0.6:8080 + 1 more... AGE\n",
		"get images":                  "NAME DIGEST SIZE AGE\ndocker.io/library/nginx:1 0123456789ab 5.0Mi AGE\n",
		"get manifests":               "FILE STATE OBJECTS SINCE PROBLEM\nweb.yaml Invalid <none> AGE web.yaml: spec: it is wrong\n",
		"get deploy -A":               "NAMESPACE NAME READY UP-TO-DATE AVAILABLE AGE\ndefault api 1/3 3 1 AGE\ndefault web 2/2 2 2 AGE\nfar other 1/1 1 1 AGE\n",
		"get deploy,job -n far":       "NAME READY UP-TO-DATE AVAILABLE AGE\ndeployment.apps/other 1/1 1 1 AGE\n",
		"get sts,cm":                  "NAME READY AGE\nstatefulset.apps/db 2/3 AGE\n\nNAME DATA AGE\nconfigmap/settings 3 AGE\n",
		"get deploy/web cm/settings":  "NAME READY UP-TO-DATE AVAILABLE AGE\ndeployment.apps/web 2/2 2 2 AGE\n\nNAME DATA AGE\nconfigmap/settings 3 AGE\n",
		"get deploy/web deploy/api":   "NAME READY UP-TO-DATE AVAILABLE AGE\napi 1/3 3 1 AGE\nweb 2/2 2 2 AGE\n",
		"get sts --show-kind":         "NAME READY AGE\nstatefulset.apps/db 2/3 AGE\n",
		"get sts --no-headers":        "db 2/3 AGE\n",
		"get sts --show-labels":       "NAME READY AGE LABELS\ndb 2/3 AGE app=db\n",
		"get sts -L app -L none/what": "NAME READY AGE APP WHAT\ndb 2/3 AGE db <none>\n",
		"get deploy --sort-by=.status.readyReplicas":                                    "NAME READY UP-TO-DATE AVAILABLE AGE\napi 1/3 3 1 AGE\nweb 2/2 2 2 AGE\n",
		"get deploy --sort-by={.status.unavailableReplicas} -A --ignore-not-found none": "",
		"get deploy --field-selector metadata.name!=api":                                "NAME READY UP-TO-DATE AVAILABLE AGE\nweb 2/2 2 2 AGE\n",
		"get secrets --field-selector type=Opaque -o name":                              "secret/password\n",
		"get deploy -l app=web -o name":                                                 "deployment.apps/web\n",
		"get deploy -l app!=web,app -o name":                                            "deployment.apps/api\n",
		"get pods,deploy -o name":                                                       "pod/web-0\npod/db-0\npod/agent\ndeployment.apps/api\ndeployment.apps/web\n",
		"get deployments.apps web -o jsonpath={.kind}/{.apiVersion}/{.metadata.name}":   "Deployment/apps/v1/web",
		"get cm,sts -o jsonpath={.items[*].kind}":                                       "ConfigMap StatefulSet",
		"get deploy -o jsonpath-as-json={.items[*].metadata.name}":                      "[\n \"api\",\n \"web\"\n]\n",
		"get cm settings -o go-template={{.data.a}}{{if(exists_.data_\"z\")}}z{{end}}":  "1",
		"get images -o name":                                                            "docker.io/library/nginx:1\n",
		"get images docker.io/library/nginx:1 -o jsonpath={.size}":                      "5242880",
		"get manifests -o jsonpath={.directoryError}/{.files[0].name}":                  "it cannot be read/web.yaml",
		"get deploy --chunk-size=500 --no-headers web":                                  "web 2/2 2 2 AGE\n",
		"get deploy none --ignore-not-found":                                            "",
		"get deploy -o custom-columns=N:metadata.name --no-headers":                     "api\nweb\n",
	} {
		fields := strings.Fields(args)
		for i := range fields {
			if strings.HasPrefix(fields[i], "go-template=") {
				fields[i] = strings.ReplaceAll(fields[i], "_", " ")
			}
		}
		got, _, err := run(fields...)
		if err != nil {
			t.Errorf("solopod %s: %v", args, err)
			continue
		}
		if !strings.Contains(args, "wide") && !strings.Contains(args, "get ep") {
			for _, line := range strings.Split(got, "\n") {
				if len(line) > 80 {
					t.Errorf("solopod %s prints a line of %d characters: %s", args, len(line), line)
				}
			}
		}
		if got = squeeze(steady(got)); got != want {
			t.Errorf("solopod %s prints\n%s\nnot\n%s", args, got, want)
		}
	}
}

// Empty answers say what was asked for; what is missing is an error beside what is there.
func TestGetNothing(t *testing.T) {
	run := stocked(t)
	for args, want := range map[string]string{
		"get deploy -n none":                           "No deployments found in namespace none (3 in other namespaces: use -A).\n",
		"get deploy -l app=none":                       "No deployments with the labels app=none found in namespace default (1 in other namespaces: use -A).\n",
		"get deploy -l a --field-selector x.y=z":       `deployments cannot be selected by "x.y"`,
		"get events --field-selector typ=Warning":      `did you mean "type"?`,
		"get events --field-selector type=None -A":     "No events with the fields type=None found.\n",
		"get all -n none":                              "Nothing found in namespace none; looked for pods, services, deployments",
		"get cm,sts -A -l none":                        "Nothing found in any namespace with the labels none; looked for configmaps, statefulsets.\n",
		"get deploy web none":                          `deployments "none" not found in namespace default`,
		"get deploy other":                             "there is one in namespace far: use -n far",
		"get deploy none -A":                           "not found in any namespace",
		"get deploy web -l app=api":                    `deployments "web" is not what was asked for with the labels app=api`,
		"get ns none":                                  `namespaces "none" not found`,
		"get deploy --sort-by=.none":                   "none of the objects has the field .none",
		"get deploy --sort-by=.spec":                   "takes a field that holds a text, a number or a time",
		"get deploy --sort-by={.a":                     "--sort-by:",
		"get deploy -l a=b=c":                          "-l:",
		"get manifests":                                "warning: it cannot be read\n",
		"describe deploy -l app=none":                  "No deployments with the labels app=none found",
		"describe deploy none":                         `deployments "none" not found in namespace default`,
		"get deploy -o go-template={{index_.items_9}}": "go-template:",
	} {
		fields := strings.Fields(args)
		for i := range fields {
			if strings.HasPrefix(fields[i], "go-template=") {
				fields[i] = strings.ReplaceAll(fields[i], "_", " ")
			}
		}
		_, errs, err := run(fields...)
		if err != nil {
			errs += err.Error()
		}
		if !strings.Contains(errs, want) {
			t.Errorf("solopod %s says %q, not %q", args, errs, want)
		}
	}
	out, _, err := run("get", "deploy", "web", "none", "-o", "name")
	if err == nil || out != "deployment.apps/web\n" {
		t.Errorf("what is there is not shown beside what is missing: %v, %s", err, out)
	}
}

// No form of output shows a Secret's values.
func TestSecretsHidden(t *testing.T) {
	run := stocked(t)
	for _, args := range []string{"get secret password -o yaml", "get secrets -A -o json", "get secret password -o jsonpath={}", "describe secret password"} {
		out, _, err := run(strings.Fields(args)...)
		if err != nil || strings.Contains(out, "hidden") || strings.Contains(out, "aGlkZGVu") || !strings.Contains(out, "12") || !strings.Contains(out, "seen") {
			t.Errorf("solopod %s: %v, %s", args, err, out)
		}
	}
}

func TestDescribeEveryKind(t *testing.T) {
	run := stocked(t)
	for args, wants := range map[string][]string{
		"describe deploy web": {"Name:                    web\n", "Selector:                app=web\n", "Replicas:                2 desired | 2 updated | 2 total | 2 available | 0 unavailable\n",
			"Image:", "nginx:1", "Available                    True   MinimumReplicasAvailable: enough pods are available\n", "Pods: <none>\n", "Events: <none>\n"},
		"describe deploy/web cm/settings":          {"Name:                    web\n", "\n\n\nName:                    settings\n"},
		"describe deploy":                          {"Name:                    api\n", "\n\n\nName:                    web\n"},
		"describe deploy we":                       {"Name:                    web\n"},
		"describe sts db":                          {"Message:                 waiting for db-2\n"},
		"describe ds agent":                        {"1 (1 updated, 1 ready, 1 available)"},
		"describe rs set":                          {"1 current / 1 desired"},
		"describe job backup":                      {"Duration:                75s\n", "Status:                  Complete\n"},
		"describe cj nightly":                      {"Schedule:                30 3 * * *\n", "Suspend:                 true\n"},
		"describe cm settings":                     {"b:\n----\ntwo\nlines\n", "c: 2 bytes\n", "Used By:                 <none>\n"},
		"describe secret password":                 {"user: 4 bytes\nword: 12 bytes\n"},
		"describe pvc data":                        {"Directory:               <none> (it is made for the first pod that names the claim)\n", "Capacity:                10Gi\n"},
		"describe ns default":                      {"Pods:                    3\n"},
		"describe node":                            {"Name:                    box\n", "DiskPressure", "cpu:                 2\n"},
		"describe manifest web.yaml":               {"web.yaml: spec: it is wrong\n"},
		"describe ep web":                          {"subsets:\n"},
		"describe image docker.io/library/nginx:1": {"size: 5242880\n"},
	} {
		out, _, err := run(strings.Fields(args)...)
		if err != nil {
			t.Errorf("solopod %s: %v", args, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("solopod %s lacks %q:\n%s", args, want, out)
			}
		}
	}
}

// Everything that has a name is completed.
func TestCompletion(t *testing.T) {
	run := stocked(t)
	for args, want := range map[string]string{
		"get dep":                  "deployments\tdeploy\n",
		"get pods,dep":             "pods,deployments\tdeploy\n",
		"get deploy w":             "web\t2/2\n",
		"get deploy/w":             "deploy/web\t2/2\n",
		"get deploy web a":         "api\t1/3\n",
		"describe cm s":            "settings\n",
		"get -n d":                 "default\n",
		"logs -n d":                "default\n",
		"exec w":                   "web-0",
		"get manifests w":          "web.yaml\tInvalid\n",
		"get -o y":                 "yaml\n",
		"get pods pod/w":           "",
		"logs pod/w":               "pod/web-0",
		"get images d":             "docker.io/library/nginx:1\t5.0Mi\n",
		"describe netpol we":       "web\tapp=web\n",
		"images rm d":              "docker.io/library/nginx:1\t5.0Mi\n",
		"cp w":                     "web-0:",
		"cp ./f w":                 "web-0:",
		"cp web-0:/":               "",
		"rollout status deploy/":   "deploy/",
		"rollout restart deploy w": "web\t2/2\n",
	} {
		fields := strings.Fields(args)
		word := fields[len(fields)-1]
		out, _, err := run(append([]string{"__complete"}, fields...)...)
		got := ""
		for _, line := range strings.SplitAfter(out, "\n") {
			if strings.HasPrefix(line, word) { // cobra leaves it to the shell to pick them
				got += line
			}
		}
		if err != nil || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("solopod %s completes %q, %v, not %q", args, got, err, want)
		}
	}
}

// A file of a template, and one of columns.
func TestOutputFiles(t *testing.T) {
	run := stocked(t)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "t")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for form, text := range map[string]string{
		"go-template-file": "{{range .items}}{{.metadata.name}} {{end}}", "jsonpath-file": "{.items[*].metadata.name} ",
	} {
		if out, _, err := run("get", "deploy", "-o", form+"="+file(text)); err != nil || out != "api web " {
			t.Errorf("%s: %v, %q", form, err, out)
		}
	}
	if out, _, err := run("get", "deploy", "-o", "custom-columns-file="+file("NAME READY\n.metadata.name .status.readyReplicas\n")); err != nil || squeeze(out) != "NAME READY\napi 1\nweb 2\n" {
		t.Errorf("custom-columns-file: %v, %q", err, out)
	}
	if out, _, err := run("get", "deploy", "web", "--template", "{{.metadata.name}}"); err != nil || out != "web" {
		t.Errorf("--template: %v, %q", err, out)
	}
	if _, _, err := run("get", "deploy", "-o", `go-template={{range .items}}{{range .spec.template.spec.containers}}{{printf "%1000000d" 1}}{{end}}{{end}}`); err != nil {
		t.Errorf("what a template makes is refused too early: %v", err)
	}
}

// What --sort-by compares.
func TestCompareValues(t *testing.T) {
	for _, c := range []struct{ less, more any }{
		{nil, "a"}, {int64(9), int64(10)}, {0.5, int64(1)}, {"web-9", "web-10"}, {"500m", "1"}, {"1Gi", "10Gi"}, {"900Mi", "1Gi"},
		{"2026-01-02T03:04:05Z", "2026-01-02T04:04:06+00:00"}, {"a", "b"}, {"a", "aa"}, {"a1", "b0"}, {"x007", "x8"},
	} {
		if compareValues(c.less, c.more) >= 0 || compareValues(c.more, c.less) <= 0 || compareValues(c.less, c.less) != 0 {
			t.Errorf("%v and %v", c.less, c.more)
		}
	}
}

// A template finds no value of a Secret, and a script is told why; what is watched and not there is waited for in words.
func TestSaidBeside(t *testing.T) {
	run := stocked(t)
	for args, want := range map[string]string{
		"get secret password -o jsonpath={.data.word}": "Values of Secrets are not shown",
		"get cm settings -o jsonpath={.data.a}":        "",
		"get secret password -o yaml":                  "",
	} {
		if _, said, err := run(strings.Fields(args)...); err != nil || !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("solopod %s says %q, %v, not %q", args, said, err, want)
		}
	}
}
