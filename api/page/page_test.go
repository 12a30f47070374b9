package page

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/internal/shop"
)

// serve serves the page of a machine with a shop's services and one pod. With no shop it has no paths of services; changed are answers in
// the place of these.
func serve(t *testing.T, from *shop.Shop, changed map[string]any) string {
	t.Helper()
	mux := http.NewServeMux()
	Routes(mux)
	if from != nil {
		objects.Served{Source: from, Traffic: from.Traffic}.Readers(mux)
	}
	answers := map[string]any{
		"/pods": v1.PodList{Items: []v1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-0"}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "web"}}},
		}}},
		"/events": v1.EventList{Items: []v1.Event{}}, "/manifests": map[string]any{},
		"/stats/summary": map[string]any{"node": map[string]any{"nodeName": "box"}, "pods": []any{}},
		"/images":        map[string]any{"images": []any{}}, "/node": v1.Node{}, "/ooms": map[string]any{"items": []any{}},
	}
	maps.Copy(answers, changed)
	for path, v := range answers {
		if handler, ok := v.(http.HandlerFunc); ok {
			mux.HandleFunc("GET "+path, handler)
			continue
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// untouched is in a page whose program has not begun: on a busy machine the page's own time may run out before it does.
const untouched = ">loading …<"

// browse opens an address as a browser does, and returns what the page is after two of its refreshes.
func browse(t *testing.T, address string) string {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for {
			out, err := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
				"--dump-dom", "--virtual-time-budget=12000", address).Output()
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if !strings.Contains(string(out), untouched) {
				return string(out)
			}
		}
	}
	t.Fatal("there is no chromium (make deps-test)")
	return ""
}

func lacks(t *testing.T, page string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	if strings.Contains(page, "does not answer") || !strings.Contains(page, "0 of 1 pods ready") {
		t.Error("the page is broken")
	}
	if t.Failed() {
		t.Log(page)
	}
}

// The page shows services with what serves them, policies, and on demand which pods do not serve, and why.
func TestServices(t *testing.T) {
	from := shop.New()
	address := serve(t, from, nil)
	page := browse(t, address)
	lacks(t, page,
		`<section id="services" aria-labelledby="services-title">`, `<section id="policies" aria-labelledby="policies-title">`,
		"default/web", "fd00:96::20", "headless", "192.0.2.7 (outside)", "192.0.2.9 (outside)", "www.example.com", "http 8080:30080/TCP", "7/SCTP",
		`<span class="warn">2 of 3 ready</span>`, `<span class="good">1 of 1 ready</span>`, `<span class="bad">0 of 0 ready</span>`, "3.4 KiB",
		`aria-label="Show the pods of the service default/web"`, `aria-label="bytes in each five seconds to and from default/web over the last minutes"`,
		"app=web", "all of the namespace", "nothing allowed", "2 rules allow", "not affected",
		`<section id="selected" aria-labelledby="selected-title" hidden="">`,
	)
	if strings.Contains(page, "Show the pods of the service default/world") {
		t.Error("a name for another name has pods")
	}
	lacks(t, browse(t, address+"/#service=default/web"), `<section id="selected" aria-labelledby="selected-title">`, `<span id="selected-name">default/web</span>`,
		`<span class="good">yes</span>`, `<span class="bad">no</span>`, "10.85.0.5, fd00::5", "it is not ready: the readiness probe failed: connection refused")
	lacks(t, browse(t, address+"/#service=default/public"), "no pod is selected")
	// Counters that cannot be read do not take the rest away.
	from.LoseCounters()
	lacks(t, browse(t, address), "2 of 3 ready")
}

// Where no service is, nothing is shown of them, and nothing more is asked.
func TestNoServices(t *testing.T) {
	from := shop.New()
	from.Empty()
	for _, s := range []*shop.Shop{from, nil} {
		lacks(t, browse(t, serve(t, s, nil)), `<section id="services" aria-labelledby="services-title" hidden="">`, `<section id="policies" aria-labelledby="policies-title" hidden="">`, "default/web-0")
	}
	if from.Asked() > 0 {
		t.Errorf("counters were asked for %d times", from.Asked())
	}
}

// Lists that others can make long are bounded and grouped; how a container ended last is said in words; images have their users.
func TestLists(t *testing.T) {
	now := metav1.Now()
	event := func(kind, reason, object, message string, count int32) v1.Event {
		return v1.Event{
			Type: kind, Reason: reason, Message: message, Count: count, LastTimestamp: now,
			InvolvedObject: v1.ObjectReference{Kind: "Pod", Namespace: "default", Name: object},
		}
	}
	var events []v1.Event
	for i := range 60 {
		events = append(events, event("Normal", "Started", fmt.Sprintf("pod-%02d", i), "Started container main", 2))
	}
	for i := range 8 {
		events = append(events, event("Warning", "OOMKilling", "eats", fmt.Sprintf("pid %d was killed", i+1), 1))
	}
	ended := func(s v1.ContainerStateTerminated) v1.ContainerStatus {
		s.FinishedAt = now
		return v1.ContainerStatus{
			Name: "main", ImageID: "docker.io/library/box@sha256:0123456789abcdef", RestartCount: 3,
			State:                v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"}},
			LastTerminationState: v1.ContainerState{Terminated: &s},
		}
	}
	var pods []v1.Pod
	for name, s := range map[string]v1.ContainerStateTerminated{
		"codes": {ExitCode: 3, Reason: "Error", Message: "first words\nlast <b>words</b>\n"}, "eats": {ExitCode: 137, Reason: "OOMKilled"},
		"signals": {ExitCode: 139, Signal: 11}, "missing": {ExitCode: 128, Reason: "StartError"},
	} {
		pods = append(pods, v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main"}}},
			Status: v1.PodStatus{Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{ended(s)}},
		})
	}
	images := []map[string]any{}
	for i := range 60 {
		images = append(images, map[string]any{"name": fmt.Sprintf("example.com/unused:%02d", i), "digest": fmt.Sprintf("sha256:%064d", i), "size": 5 << 20, "createdAt": now})
	}
	images = append(images, map[string]any{"name": "docker.io/library/box:1", "digest": "sha256:0123456789abcdef", "size": 3 << 20, "createdAt": now})
	node := v1.Node{Status: v1.NodeStatus{Conditions: []v1.NodeCondition{
		{Type: v1.NodeDiskPressure, Status: v1.ConditionTrue, Message: "nodefs is full"}, {Type: v1.NodeMemoryPressure, Status: v1.ConditionFalse, Message: "there is memory"},
		{Type: v1.NodeReady, Status: v1.ConditionTrue, Message: "it makes progress"},
	}}}
	page := browse(t, serve(t, nil, map[string]any{
		"/events": v1.EventList{Items: events}, "/pods": v1.PodList{Items: pods}, "/images": map[string]any{"images": images}, "/node": node,
	}))
	for _, want := range []string{
		"(x8)", "7 more messages", "<li>pid 7 was killed</li>", "and 2 more</li>", "pid 8 was killed", "and 11 more kinds of events", "pod-59", "(x2)",
		"main: last end exit code 3, ", "last &lt;b&gt;words&lt;/b&gt;", "main: last end killed for memory (OOMKilled), ", "main: last end killed by signal 11, ",
		"main: last end exit code 128 (StartError), ", "back-off 10s",
		"default/codes, default/eats, default/missing and 1 more", "and 11 more images", "DiskPressure: nodefs is full", `title="sha256:0123456789abcdef"`,
		`<a href="#services-title" data-for="services" hidden="">`, `role="cell"`, `role="columnheader"`, "0 of 4 pods ready",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"first words", "there is memory", "it makes progress", "pod-02<", "does not answer"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if strings.Index(page, "docker.io/library/box:1") > strings.Index(page, "example.com/unused:00") {
		t.Error("an image that is used stands behind others")
	}
	if t.Failed() {
		t.Log(page)
	}
}

// Kills are shown with what is known of them, by container and limit, not more of them than people read; what processes call themselves
// is text, and turns nothing around.
func TestKills(t *testing.T) {
	kill := func(pod, container, owner, message string, more map[string]any) map[string]any {
		out := map[string]any{"time": metav1.Now(), "owner": owner, "message": message, "source": "log"}
		if pod != "" {
			out["pod"], out["container"] = map[string]any{"uid": pod, "namespace": "default", "name": pod}, container
		}
		maps.Copy(out, more)
		return out
	}
	var kills []map[string]any
	for i := range 30 {
		kills = append(kills, kill(fmt.Sprintf("many-%02d", i), "main", "container", "killed at its limit", nil))
	}
	for i := range 7 {
		kills = append(kills, kill("eats", "main", "container", fmt.Sprintf("kill %d", i), nil))
	}
	kills = append(kills,
		kill("eats", "main", "machine", "the machine it was", map[string]any{"before": true}),
		kill("", "", "ancestor", "sshd (pid 5), which belongs to no pod, was killed", nil),
		kill("evil", "main", "pod", "killed at the pod's limit: 1Mi in <img src=x onerror=document.title='broken'>\u202e\x1b[2J (pid 7)", map[string]any{
			"command": "<script>document.title='broken'</script>\u0000" + strings.Repeat("x", 4096), "limit": 32 << 20, "usage": 32 << 20, "peak": 33 << 20,
			"largest": []map[string]any{{"name": "<b>\u2066", "pid": 7, "rss": 3 << 20}}, "pressure": map[string]any{"some": 1.5},
		}))
	asked := ""
	page := browse(t, serve(t, nil, map[string]any{"/ooms": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery
		if err := json.NewEncoder(w).Encode(map[string]any{"items": kills}); err != nil {
			t.Error(err)
		}
	})}))
	lacks(t, page, "default/evil main", `&lt;img src=x onerror=document.title='broken'&gt;\u202e\u001b[2J (pid 7)`, `command: &lt;script&gt;document.title='broken'&lt;/script&gt;\u0000x`,
		"limit 32.0 MiB, used 32.0 MiB, at most 33.0 MiB", `largest: &lt;b&gt;\u2066 (pid 7) 3.0 MiB`, "processes waited for memory 1.5 % of the time", `aria-label="Details: kill of default/evil main"`,
		"(x7)", "kill 6", ">before ", "none: the machine was full", "no pod's", "a cgroup above", "sshd (pid 5)", "many-29", "and 14 more", `<p id="oom-none" class="dim" hidden="">`)
	for _, not := range []string{"<title>broken", "kill 5<", "many-10", strings.Repeat("x", 300), "\u202e", "\u2066"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	if asked != "limit=100" {
		t.Errorf("the page asks for kills by %q", asked)
	}
	lacks(t, browse(t, serve(t, nil, nil)), `<p id="oom-none" class="dim">nothing was</p>`, `<table id="oom" role="table" aria-labelledby="oom-title" hidden="">`)
	if t.Failed() {
		t.Log(page)
	}
}

// The page has kubectl's words for pods, and counts as kubectl does.
func TestPodWords(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	is := func(kind v1.PodConditionType) []v1.PodCondition {
		return []v1.PodCondition{{Type: kind, Status: v1.ConditionTrue}}
	}
	waits := func(reason string) v1.ContainerState {
		return v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason}}
	}
	ended := func(reason string, code int32) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: reason, ExitCode: code}}
	}
	runs := v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	one, two := []v1.Container{{Name: "a"}}, []v1.Container{{Name: "a"}, {Name: "b"}}
	started := true
	var pods []v1.Pod
	var want []string
	for name, c := range map[string]struct {
		inits, containers []v1.Container
		status            v1.PodStatus
		word, mood        string
		ready, restarts   string
	}{
		"new":     {nil, one, v1.PodStatus{Phase: v1.PodPending}, "Pending", "warn", "0/1", "0"},
		"created": {nil, one, v1.PodStatus{Phase: v1.PodPending, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: waits("ContainerCreating")}}}, "ContainerCreating", "warn", "0/1", "0"},
		"begins": {two, one, v1.PodStatus{
			Phase:                 v1.PodPending,
			InitContainerStatuses: []v1.ContainerStatus{{Name: "a", State: ended("Completed", 0)}, {Name: "b", State: runs, RestartCount: 4}}, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: waits("PodInitializing")}},
		}, "Init:1/2", "warn", "0/1", "4"},
		"cannot-begin": {one, one, v1.PodStatus{Phase: v1.PodPending, InitContainerStatuses: []v1.ContainerStatus{{Name: "a", State: waits("CrashLoopBackOff"), RestartCount: 9}}}, "Init:CrashLoopBackOff", "bad", "0/1", "9"},
		"half-done": {nil, two, v1.PodStatus{
			Phase: v1.PodRunning, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: ended("Completed", 0)}, {Name: "b", State: runs, Ready: true, RestartCount: 2}},
		}, "Running", "warn", "1/2", "2"},
		"done":    {nil, one, v1.PodStatus{Phase: v1.PodSucceeded, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: ended("Completed", 0)}}}, "Completed", "dim", "0/1", "0"},
		"failed":  {nil, one, v1.PodStatus{Phase: v1.PodFailed, ContainerStatuses: []v1.ContainerStatus{{Name: "a", State: ended("", 3)}}}, "ExitCode:3", "bad", "0/1", "0"},
		"evicted": {nil, one, v1.PodStatus{Phase: v1.PodFailed, Reason: "Evicted"}, "Evicted", "bad", "0/1", "0"},
		"with-sidecar": {[]v1.Container{{Name: "s", RestartPolicy: &always}, {Name: "i"}}, one, v1.PodStatus{
			Phase: v1.PodRunning, Conditions: append(is(v1.PodInitialized), is(v1.PodReady)...),
			InitContainerStatuses: []v1.ContainerStatus{{Name: "s", State: runs, Ready: true, Started: &started, RestartCount: 1}, {Name: "i", State: ended("Completed", 0), RestartCount: 8}},
			ContainerStatuses:     []v1.ContainerStatus{{Name: "a", State: runs, Ready: true, RestartCount: 2}},
		}, "Running", "good", "2/2", "3"},
	} {
		pods = append(pods, v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.PodSpec{InitContainers: c.inits, Containers: c.containers}, Status: c.status})
		want = append(want, fmt.Sprintf(`data-name="Pod">default/%s</td><td class="number" role="cell" data-name="Ready">%s</td><td role="cell" data-name="Status"><div><span class="%s">%s</span>`, name, c.ready, c.mood, c.word),
			fmt.Sprintf(`</td><td class="number" role="cell" data-name="Restarts">%s</td>`, c.restarts))
	}
	page := browse(t, serve(t, nil, map[string]any{"/pods": v1.PodList{Items: pods}}))
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}

// What cannot be had is told, and the rest is shown; a link that was cut off changes nothing.
func TestPartsMissing(t *testing.T) {
	fails := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "containerd does not answer", http.StatusServiceUnavailable)
	})
	for _, hash := range []string{"", "#log=%", "#service=%E0%A4"} {
		page := browse(t, serve(t, nil, map[string]any{"/images": fails, "/stats/summary": fails})+"/"+hash)
		for _, want := range []string{"default/web-0", ">0 of 1 pods ready; not shown: ", "images: 503", "stats/summary: 503"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", hash, want)
			}
		}
	}
	page := browse(t, serve(t, nil, map[string]any{"/pods": fails}))
	if !strings.Contains(page, "Solopod does not answer: pods: 503") {
		t.Error("the page does not say that there is no answer")
	}
}

// Of what others can make long only the beginning is shown.
func TestManyProblems(t *testing.T) {
	var problems []map[string]any
	for i := range 1000 {
		problems = append(problems, map[string]any{"line": i + 1, "message": "is wrong"})
	}
	page := browse(t, serve(t, nil, map[string]any{"/manifests": map[string]any{"files": []any{map[string]any{"name": "bad.yaml", "problems": problems}}}}))
	lacks(t, page, "bad.yaml:50: is wrong", "and 950 more")
	if strings.Contains(page, "bad.yaml:51:") {
		t.Error("all are shown")
	}
}
