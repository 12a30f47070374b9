package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// behaviour is one thing that Kubernetes' conformance texts for nodes expect of a pod, told in our own words: a manifest, and
// what is then seen. The pod has a container "main" that runs a script, on the host's network, once, unless the manifest
// says otherwise. In all texts @pod is the pod's name, @host a directory of the host for this pod alone, and @port a free port.
type behaviour struct {
	name    string
	objects string // what lies beside the pod in its directory: ConfigMaps, Secrets, claims
	meta    string // added to the pod's metadata
	spec    string // added to the pod's spec
	init    string // its init containers, made by item
	beside  string // containers beside main, made by item
	main    string // added to the container main
	script  string // what main runs
	log     string // what main has printed in the end; with code it is what is looked at where there is no check
	code    int32
	check   func(c *trial)
	// pending says why the behaviour does not hold. It is tried all the same, and the test fails when it does hold.
	pending string
}

// area is a group of behaviours that are tried in pods of one daemon.
type area struct {
	name       string
	prepare    func(b *box) // before the daemon starts
	behaviours []behaviour
}

// areas is every area, in the order of docs/conformance.md.
func areas() []area {
	return []area{
		environment, filledVolumes, directories, parts,
		identity, namespaces, ending, telling, initializing, probing, hooks, networking, resourceful, serving,
	}
}

// update writes the table of docs/conformance.md anew.
var update = flag.Bool("update", false, "write the tables of the documents that tests make")

// docs/conformance.md has the number of the behaviours of each area, and names those that do not hold.
// go test ./test/e2e -run TestConformanceDocument -update writes them.
func TestConformanceDocument(t *testing.T) {
	const file, begin, end = "../../docs/conformance.md", "<!-- behaviours: begin -->\n", "<!-- behaviours: end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the tables", file)
	}
	want := before + begin + conformanceTables(t) + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("the tables in %s are not those of the behaviours; write them with go test ./test/e2e -run TestConformanceDocument -update", file)
	}
}

// conformanceTables also looks whether each behaviour has a name of its own.
func conformanceTables(t *testing.T) string {
	t.Helper()
	var counts, failing strings.Builder
	sum, sumPending, names := 0, 0, map[string]bool{}
	for _, a := range areas() {
		pending := 0
		for _, v := range a.behaviours {
			if names[v.name] {
				t.Errorf("two behaviours are called %q", v.name)
			}
			names[v.name] = true
			if v.pending != "" {
				pending++
				fmt.Fprintf(&failing, "| %s | %s |\n", v.name, v.pending)
			}
		}
		sum, sumPending = sum+len(a.behaviours), sumPending+pending
		fmt.Fprintf(&counts, "| %s | %d | %d |\n", a.name, len(a.behaviours), pending)
	}
	out := fmt.Sprintf("| area | behaviours | that do not hold |\n| --- | --- | --- |\n%s| all | %d | %d |\n\n", counts.String(), sum, sumPending)
	if failing.Len() > 0 {
		out += "What does not hold:\n\n| behaviour | why |\n| --- | --- |\n" + failing.String() + "\n"
	}
	return out
}

// together is how many pods of a daemon are tried at once.
const together = 8

// TestConformance tries the behaviours one by one.
func TestConformance(t *testing.T) {
	if !*slow {
		t.Skip("takes minutes; run with -slow")
	}
	images := packConformanceImages(t)
	for _, a := range areas() {
		t.Run(a.name, func(t *testing.T) {
			b := prepareBox(t, embedded, "--config", writeConfig(t))
			for _, archive := range images {
				b.link(archive, "images/"+filepath.Base(archive))
			}
			if a.prepare != nil {
				a.prepare(b)
			}
			b.writeFile("manifests/bystander.yaml", configMap("bystander", "{}")) // a directory that becomes empty is not believed at once
			b.start()
			queue := make(chan int)
			var workers sync.WaitGroup
			for range together {
				workers.Go(func() {
					for i := range queue {
						t.Run(a.behaviours[i].name, func(t *testing.T) { a.behaviours[i].try(t, b, fmt.Sprintf("c%d", i)) })
					}
				})
			}
			for i := range a.behaviours {
				queue <- i
			}
			close(queue)
			workers.Wait()
		})
	}
}

// writeConfig makes the configuration of all areas: a sysctl beyond the safe ones, and a bound for processes.
func writeConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("allowedUnsafeSysctls: [kernel.msgmax]\npodPidsLimit: 200\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Images of the behaviours: one with all of busybox and two users, and some whose configuration says more.
const (
	conformanceImage = "solopod.example/conformance:1"
	entryImage       = "solopod.example/entry:1"   // entrypoint and cmd
	namedImage       = "solopod.example/named:1"   // user by name
	numericImage     = "solopod.example/numeric:1" // user by number
)

func packConformanceImages(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := []string{
		"/bin/busybox:/bin/busybox",
		write("passwd", "root:x:0:0:root:/root:/bin/sh\nnamed:x:1234:2345:named:/home/named:/bin/sh\n") + ":/etc/passwd",
		write("group", "root:x:0:\nnamed:x:2345:\nimage:x:5678:named\nbyname:x:6789:\n") + ":/etc/group",
		write("file", "of the image\n") + ":/data/file",
	}
	list, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			links = append(links, "-link", "/bin/"+applet+"=busybox")
		}
	}
	var archives []string
	for name, options := range map[string][]string{
		conformanceImage: {"-env", "FROM_IMAGE=yes"},
		entryImage:       {"-entrypoint", "/bin/echo entrypoint", "-cmd", "cmd of image"},
		namedImage:       {"-user", "named"},
		numericImage:     {"-user", "1234"},
	} {
		archive := filepath.Join(dir, strings.TrimSuffix(filepath.Base(name), ":1")+".tar")
		args := append([]string{"-o", archive, "-name", name}, options...)
		if out, err := exec.Command(packBinary, append(append(args, links...), files...)...).CombinedOutput(); err != nil {
			t.Fatalf("pack: %v: %s", err, out)
		}
		archives = append(archives, archive)
	}
	return archives
}

// item is a container of a list.
func item(name, script, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n", name)
	if !strings.Contains(extra, "image:") {
		fmt.Fprintf(&b, "  image: %s\n", conformanceImage)
	}
	if script != "" {
		fmt.Fprintf(&b, "  command: [/bin/sh, -c]\n  args:\n  - |\n%s\n", indent(4, script))
	}
	if extra != "" {
		fmt.Fprintf(&b, "%s\n", indent(2, extra))
	}
	return b.String()
}

// manifest is the pod's text.
func (v behaviour) manifest(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n", name)
	if v.meta != "" {
		fmt.Fprintf(&b, "%s\n", indent(2, v.meta))
	}
	b.WriteString("spec:\n")
	for field, value := range map[string]string{"terminationGracePeriodSeconds": "1", "hostNetwork": "true", "restartPolicy": "Never"} {
		if !slices.ContainsFunc(strings.Split(v.spec, "\n"), func(line string) bool { return strings.HasPrefix(line, field+":") }) {
			fmt.Fprintf(&b, "  %s: %s\n", field, value)
		}
	}
	if v.spec != "" {
		fmt.Fprintf(&b, "%s\n", indent(2, v.spec))
	}
	if v.init != "" {
		fmt.Fprintf(&b, "  initContainers:\n%s\n", indent(2, v.init))
	}
	script := v.script
	if script != "" && v.check == nil {
		script = "exec 2>&1\n" + script // the order of two streams is nobody's promise
	}
	fmt.Fprintf(&b, "  containers:\n%s\n", indent(2, item("main", script, v.main)))
	if v.beside != "" {
		fmt.Fprintf(&b, "%s\n", indent(2, v.beside))
	}
	return b.String()
}

// trial is one behaviour being tried.
type trial struct {
	behaviour
	b        *box
	pod      string
	host     string
	port     string
	patience time.Duration
	problems []string
	files    []string

	lock    sync.Mutex
	seen    map[string][]sighting // of the pods whose names begin with the trial's, as the daemon's watch tells
	changed chan struct{}
}

// sighting is a pod as it was seen at a moment.
type sighting struct {
	at   time.Time
	pod  *v1.Pod
	gone bool
}

// errGivenUp ends a check that has failed.
var errGivenUp = errors.New("given up")

func (v behaviour) try(t *testing.T, b *box, name string) {
	c := &trial{behaviour: v, b: b, pod: name, host: b.path("host/" + name), patience: patience, seen: map[string][]sighting{}, changed: make(chan struct{})}
	if v.pending != "" {
		c.patience = min(patience, 20*time.Second)
	}
	if err := os.MkdirAll(c.host, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(ctx)
	}()
	c.run(func() {
		c.apply(v)
		if v.check != nil {
			v.check(c)
		} else {
			c.runsOnce()
		}
	})
	failed := len(c.problems)
	c.run(c.leave)
	cancel()
	<-watched
	switch {
	case v.pending == "" && len(c.problems) > 0:
		t.Errorf("%s\nthe manifest:\n%s\nthe pod:\n%s", strings.Join(c.problems, "\n"), c.text(v.manifest(name)), c.last())
	case v.pending != "" && failed == 0:
		t.Errorf("this holds now: take its pending away (%s)", v.pending)
	case v.pending != "":
		t.Logf("pending: %s\n%s", v.pending, strings.Join(c.problems, "\n"))
		if left := c.problems[failed:]; len(left) > 0 {
			t.Errorf("%s", strings.Join(left, "\n"))
		}
	}
}

// run runs a part of the trial; what gives up ends that part.
func (c *trial) run(part func()) {
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(error); !ok || !errors.Is(err, errGivenUp) {
				panic(r)
			}
		}
	}()
	part()
}

func (c *trial) errorf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *trial) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	panic(errGivenUp)
}

func (c *trial) equal(what string, got, want any) {
	if got != want {
		c.errorf("%s is %#v, want %#v", what, got, want)
	}
}

func (c *trial) contains(what, got string, parts ...string) {
	for _, part := range parts {
		if !strings.Contains(got, part) {
			c.errorf("%s lacks %q: %q", what, part, got)
		}
	}
}

// text fills in what the manifests leave open.
func (c *trial) text(s string) string {
	if strings.Contains(s, "@port") && c.port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.fatalf("%v", err)
		}
		_, c.port, _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	return strings.NewReplacer("@pod", c.pod, "@host", c.host, "@port", c.port, "@http", asks.port, "@tls", asks.tls).Replace(s)
}

// apply writes the manifests; a later one is an edit.
func (c *trial) apply(v behaviour) {
	if v.objects != "" {
		c.write(c.pod+"-objects.yaml", v.objects)
	}
	c.write(c.pod+".yaml", v.manifest(c.pod))
}

// write moves a file into the manifests directory; Secrets are for root alone.
func (c *trial) write(name, content string) {
	temporary := c.b.path("manifests/." + name)
	if err := os.WriteFile(temporary, []byte(c.text(content)), 0o600); err != nil {
		c.fatalf("%v", err)
	}
	if err := os.Rename(temporary, c.b.path("manifests/"+name)); err != nil {
		c.fatalf("%v", err)
	}
	if !slices.Contains(c.files, name) {
		c.files = append(c.files, name)
	}
}

// remove takes a manifest away.
func (c *trial) remove(name string) {
	if err := os.Remove(c.b.path("manifests/" + name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.fatalf("%v", err)
	}
}

// leave takes everything away and waits for its end.
func (c *trial) leave() {
	c.patience = patience
	for _, name := range slices.Backward(c.files) {
		c.remove(name)
	}
	c.until("all pods are gone", func() error {
		c.lock.Lock()
		defer c.lock.Unlock()
		for name, list := range c.seen {
			if !list[len(list)-1].gone {
				return fmt.Errorf("pod %s is there", name)
			}
		}
		return nil
	})
	if err := os.RemoveAll(c.host); err != nil {
		c.errorf("%v", err)
	}
}

// watch notes what becomes of the trial's pods.
func (c *trial) watch(ctx context.Context) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://solopod/pods?watch=true", nil)
		if err != nil {
			return
		}
		client := *c.b.http
		client.Timeout = 0
		resp, err := client.Do(req)
		if err != nil {
			select { // the daemon may be between two runs
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c.readWatch(resp)
	}
}

func (c *trial) readWatch(resp *http.Response) {
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var e struct {
			Type   string
			Object *v1.Pod
		}
		if d.Decode(&e) != nil {
			return
		}
		if e.Object == nil || e.Object.Name != c.pod && !strings.HasPrefix(e.Object.Name, c.pod+"-") {
			continue
		}
		c.lock.Lock()
		c.seen[e.Object.Name] = append(c.seen[e.Object.Name], sighting{time.Now(), e.Object, e.Type == "DELETED"})
		close(c.changed)
		c.changed = make(chan struct{})
		c.lock.Unlock()
	}
}

// history is everything that was seen of a pod.
func (c *trial) history() []sighting {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.seen[c.pod])
}

func (c *trial) last() string {
	list := c.history()
	if len(list) == 0 {
		return "was never seen"
	}
	text, _ := json.MarshalIndent(list[len(list)-1].pod.Status, "", " ")
	return string(text)
}

// wait waits until the trial's pod is as wanted.
func (c *trial) wait(what string, wanted func(*v1.Pod) bool) *v1.Pod {
	return c.waitOther(c.pod, what, wanted)
}

// waitOther waits until another pod, whose name begins with the trial's, is as wanted.
func (c *trial) waitOther(name, what string, wanted func(*v1.Pod) bool) *v1.Pod {
	deadline := time.After(c.patience)
	for {
		c.lock.Lock()
		changed, list := c.changed, c.seen[name]
		c.lock.Unlock()
		if n := len(list); n > 0 && !list[n-1].gone && wanted(list[n-1].pod) {
			return list[n-1].pod
		}
		select {
		case <-changed:
		case <-deadline:
			c.fatalf("pod %s is not %s within %s", name, what, c.patience)
		}
	}
}

// until repeats a check until it holds.
func (c *trial) until(what string, check func() error) {
	if err := poll(c.patience, check); err != nil {
		c.fatalf("not within %s: %s: %v", c.patience, what, err)
	}
}

// stays looks for a while whether something goes on holding of the pod.
func (c *trial) stays(while time.Duration, what string, holds func(*v1.Pod) bool) {
	end := time.After(while)
	for {
		c.lock.Lock()
		changed, list := c.changed, c.seen[c.pod]
		c.lock.Unlock()
		if n := len(list); n > 0 && !holds(list[n-1].pod) {
			c.fatalf("the pod does not stay %s", what)
		}
		select {
		case <-changed:
		case <-end:
			return
		}
	}
}

func (c *trial) phase(phase v1.PodPhase) *v1.Pod {
	return c.wait(string(phase), func(p *v1.Pod) bool { return p.Status.Phase == phase })
}

func (c *trial) ready() *v1.Pod { return c.wait("ready", isReady) }

// ended is how main has ended in a pod that does not restart it.
func (c *trial) ended() *v1.ContainerStateTerminated {
	p := c.wait("ended", func(p *v1.Pod) bool { return status(p, "main").State.Terminated != nil })
	return status(p, "main").State.Terminated
}

// waiting is what main waits for, once it waits for this reason.
func (c *trial) waiting(reason string) *v1.ContainerStateWaiting {
	p := c.wait("waiting: "+reason, func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == reason
	})
	return status(p, "main").State.Waiting
}

// runsOnce looks at the exit code and the output of a pod that has run.
func (c *trial) runsOnce() {
	ended := c.ended()
	if ended.ExitCode != c.code {
		c.errorf("exit code %d (%s %s), want %d", ended.ExitCode, ended.Reason, ended.Message, c.code)
	}
	if got, want := c.logs("main"), c.text(c.log); got != want {
		c.errorf("it printed\n%s\nwant\n%s", got, want)
	}
	if ended.ExitCode == 0 {
		c.phase(v1.PodSucceeded)
	} else {
		c.phase(v1.PodFailed)
	}
}

// logs is what a container has printed.
func (c *trial) logs(container string) string {
	return c.get("/containerLogs/default/" + c.pod + "/" + container)
}

func (c *trial) get(path string) string {
	out, err := c.b.get(path)
	if err != nil {
		c.fatalf("GET %s: %v", path, err)
	}
	return string(out)
}

// exec runs a command in a container by the binary.
func (c *trial) exec(container string, command ...string) (output string, code int) {
	args := append([]string{"--socket", c.b.path("socket"), "exec", c.pod, "-c", container, "--"}, command...)
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.fatalf("exec: %v", err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// sh runs a script in main that must succeed, and returns its output.
func (c *trial) sh(script string) string {
	out, code := c.exec("main", "/bin/sh", "-c", c.text(script))
	if code != 0 {
		c.fatalf("%s: exit code %d: %s", script, code, out)
	}
	return strings.TrimSuffix(out, "\n")
}

// events are the pod's events of one reason, as TYPE MESSAGE.
func (c *trial) events(reason string) []string {
	var list v1.EventList
	if err := json.Unmarshal([]byte(c.get("/events")), &list); err != nil {
		c.fatalf("%v", err)
	}
	var out []string
	for _, e := range list.Items {
		if e.InvolvedObject.Name == c.pod && e.Reason == reason {
			out = append(out, e.Type+" "+e.Message)
		}
	}
	return out
}

// event waits for an event of the pod.
func (c *trial) event(reason, part string) {
	part = c.text(part)
	c.until("event "+reason, func() error {
		list := c.events(reason)
		if slices.ContainsFunc(list, func(e string) bool { return strings.Contains(e, part) }) {
			return nil
		}
		return fmt.Errorf("none has %q: %q", part, list)
	})
}

// hostFile reads a file of the pod's directory on the host.
func (c *trial) hostFile(name string) string {
	data, err := os.ReadFile(filepath.Join(c.host, name))
	if err != nil {
		c.fatalf("%v", err)
	}
	return string(data)
}

// hostFileHas looks into a file that may not be there yet.
func (c *trial) hostFileHas(name, part string) error {
	data, err := os.ReadFile(filepath.Join(c.host, name))
	if err == nil && !strings.Contains(string(data), part) {
		err = fmt.Errorf("%s lacks %q: %q", name, part, data)
	}
	return err
}

func condition(p *v1.Pod, kind v1.PodConditionType) v1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return v1.PodCondition{}
}
