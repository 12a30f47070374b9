package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// screenshots is a directory to leave pictures of the page in.
var screenshots = flag.String("screenshots", "", "keep screenshots of the page in this directory")

// chromium opens a page as a browser does, and returns what it then is, or with a file writes a picture of it.
func (b *box) chromium(address, picture string, options ...string) string {
	b.t.Helper()
	browser := ""
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		b.t.Fatal("there is no chromium (make deps-test)")
	}
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + filepath.Join(b.t.TempDir(), "profile")}, options...)
	if picture != "" {
		args = append(args, "--screenshot="+picture)
	} else {
		args = append(args, "--dump-dom")
	}
	// The page's own time: long enough for a few of its refreshes, and over at once when nothing is left to wait for.
	args = append(args, "--virtual-time-budget=12000", address)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args = slices.Concat(b.namespaces, []string{browser}, args) // where the daemon listens
	for {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
		if err != nil {
			b.t.Fatalf("%s: %v", browser, err)
		}
		if !strings.Contains(string(out), ">loading …<") { // on a busy machine the page's own time may run out before its program has begun
			return string(out)
		}
	}
}

// The page shows what a person without a terminal asks for; what containers call themselves is shown and not run.
func TestPage(t *testing.T) {
	address := freePort(t)
	b := prepareBox(t, embedded, "--listen", address)
	b.configure("plainPort: read\n")
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("good.yaml", web("web", "")+"---\n"+shell("hostile", `echo "<script>document.title='broken'</script>"; `+forever, "")+
		"    env: [{name: X, value: \"<img src=x onerror=document.title='broken'>\"}]\n")
	b.apply("crash.yaml", shell("crash", "exit 3", ""))
	b.apply("eats.yaml", shell("eats", "head -c 200m /dev/zero | tail", "")+"    resources: {limits: {memory: 16Mi}}\n")
	b.apply("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containres: []}\n")
	b.waitReady("web")
	b.waitReady("hostile")
	b.waitPod("crash", "in back-off", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff"
	})
	b.eventually("something was killed for memory", func() error {
		if out := b.run("get", "events"); !strings.Contains(out, "OOMKilling") {
			return fmt.Errorf("events:\n%s", out)
		}
		if len(b.oomRecords("eats")) == 0 {
			return errors.New("there is no record of it")
		}
		return nil
	})
	b.mustGet("/stats/summary") // so that the page's first one knows rates
	page := b.chromium("http://"+address+"/", "")
	for _, want := range []string{
		"default/web", ">Running<", ">CrashLoopBackOff<", "default/hostile", "OOMKilling", "bad.yaml:4:", "containres", "Show the log of default/web", "MiB",
		`points="`, "pods ready", "main: last end exit code 3, ", `>solopod.example/box:1<`, "only warnings", "default/eats main", "killed at its limit of 16Mi: ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<title>broken") || strings.Contains(page, "does not answer") || strings.Contains(page, `id="problems" aria-labelledby="problems-title" hidden`) {
		t.Error("the page is broken")
	}
	if t.Failed() {
		t.Log(page)
	}
	// A link leads to a pod's log, and what that says is text.
	if page := b.chromium("http://"+address+"/#log=default/hostile", ""); !strings.Contains(page, "&lt;script&gt;document.title='broken'&lt;/script&gt;") || strings.Contains(page, "<title>broken") {
		t.Errorf("the log is not shown as it is:\n%s", page)
	}
	// It is small, whole, and asks nobody else.
	size := 0
	for _, path := range []string{"/", "/page.css", "/page.js"} {
		code, text := ask(&http.Client{Timeout: time.Minute}, "GET", "http://"+address+path, "")
		if size += len(text); code != 200 || strings.Contains(text, "http://") && !strings.Contains(text, "http://www.w3.org/2000/svg") || strings.Contains(text, "https://") {
			t.Errorf("%s: %d", path, code)
		}
	}
	if size > 50<<10 {
		t.Errorf("the page is of %d bytes", size)
	}
	dir := *screenshots
	if dir == "" {
		dir = t.TempDir()
	}
	for name, options := range map[string][]string{
		"light.png": {"--window-size=1200,1400"}, "dark.png": {"--window-size=1200,1400", "--force-dark-mode", "--blink-settings=preferredColorScheme=0"}, "phone.png": {"--window-size=500,4200"},
	} {
		path := filepath.Join(dir, name)
		b.chromium("http://"+address+"/", path, options...)
		if info, err := os.Stat(path); err != nil || info.Size() < 10<<10 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
