package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	containerregistry "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	v1 "k8s.io/api/core/v1"
)

// fakeRegistry is a registry on loopback that can be made to misbehave.
type fakeRegistry struct {
	*httptest.Server
	address string
	of      http.Handler

	mu sync.Mutex
	// asked are the requests since it was looked at last.
	asked []string
	// misbehaves, if it is not nil, answers in place of the registry where it returns true.
	misbehaves func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeRegistry(t *testing.T, tls bool) *fakeRegistry {
	t.Helper()
	f := &fakeRegistry{of: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.Method+" "+r.URL.Path)
		misbehaves := f.misbehaves
		f.mu.Unlock()
		if misbehaves == nil || !misbehaves(w, r) {
			f.of.ServeHTTP(w, r)
		}
	}))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	f.address = f.Listener.Addr().String()
	return f
}

// behave changes how it answers; nil is well.
func (f *fakeRegistry) behave(how func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.misbehaves = how
}

// requests are those that were made since the last call, and hold one of the texts.
func (f *fakeRegistry) requests(of ...string) (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		for _, text := range of {
			if strings.Contains(a, text) {
				out = append(out, a)
			}
		}
	}
	f.asked = nil
	return out
}

// push gives it the tests' image as repo, with a layer of random bytes that nobody can have yet, and returns its digest.
func (f *fakeRegistry) push(t *testing.T, repo string, size int) string {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	layer := static.NewLayer(tarOf(t, "etc/added", data), types.OCIUncompressedLayer)
	image, err := mutate.AppendLayers(imageIn(t, imageArchive), layer)
	if err != nil {
		t.Fatal(err)
	}
	return f.write(t, repo, image)
}

func (f *fakeRegistry) write(t *testing.T, repo string, image containerregistry.Image) string {
	t.Helper()
	server := httptest.NewServer(f.of) // whatever it is made to do to others
	defer server.Close()
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// hangs is a registry that takes what is asked, and does not answer.
func hangs(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

// fromNewest is a shell that runs from an image with the policy Always.
func fromNewest(name, image string) string {
	return fromImage(name, image+"\n    imagePullPolicy: Always")
}

// runsWith waits until a pod is ready with the image of that digest.
func (b *box) runsWith(name, digest string) *v1.Pod {
	b.t.Helper()
	return b.waitPod(name, "ready with "+digest, func(p *v1.Pod) bool {
		return isReady(p) && strings.HasSuffix(status(p, "main").ImageID, "@"+digest)
	})
}

// startsAgain has a pod begin anew, and waits until it runs with the image of that digest.
func (b *box) startsAgain(name, digest string) {
	b.t.Helper()
	id := status(b.waitReady(name), "main").ContainerID
	b.run("restart", name)
	b.waitPod(name, "ready again with "+digest, func(p *v1.Pod) bool {
		return isReady(p) && status(p, "main").ContainerID != id && strings.HasSuffix(status(p, "main").ImageID, "@"+digest)
	})
}

// tarOf is a layer with one file.
func tarOf(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))})
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// With the policy Always each start asks the registry which image the name means, and pulls only another one. When it does not answer a
// pod that has run goes on with what is present, others wait.
func TestPullPolicyAlways(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		f := newFakeRegistry(t, false)
		first := f.push(t, "app:1", 1000)
		b.apply("app.yaml", fromNewest("app", f.address+"/app:1"))
		b.runsWith("app", first)
		f.requests()
		b.restarts("app")
		b.runsWith("app", first)
		if blobs := f.requests("/blobs/"); len(blobs) > 0 {
			t.Errorf("the same image was pulled again: %q", blobs)
		}
		second := f.push(t, "app:1", 1000)
		b.startsAgain("app", second)
		if blobs := f.requests("GET /v2/app/blobs/"); len(blobs) == 0 || len(blobs) > 3 {
			t.Errorf("of another image more, or less, was pulled than is new: %q", blobs)
		}

		f.behave(hangs)
		b.startsAgain("app", second)
		b.eventOf("ImageNotChecked", "pod/app", f.address+"/app:1")
		b.apply("other.yaml", fromNewest("other", f.address+"/app:1"))
		waiting := b.waitPod("other", "waiting", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && (w.Reason == "ErrImagePull" || w.Reason == "ImagePullBackOff")
		})
		if m := status(waiting, "main").State.Waiting.Message; !strings.Contains(m, "imagePullOffline: present") {
			t.Errorf("the message gives no advice: %s", m)
		}
		// It is not forgotten with the daemon, as after a boot without a network.
		b.crash()
		b.start()
		b.startsAgain("app", second)
		f.behave(nil)
		b.runsWith("other", second)

		// An edit looks at the registry before it stops what runs.
		f.behave(func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "denied", http.StatusForbidden)
			return true
		})
		id := status(b.waitReady("app"), "main").ContainerID
		b.apply("app.yaml", strings.Replace(fromNewest("app", f.address+"/app:1"), forever, "true; "+forever, 1))
		b.eventOf("EditWaits", "pod/app")
		if now := status(b.waitReady("app"), "main").ContainerID; now != id {
			t.Errorf("what ran was stopped for an image that cannot be had")
		}
		f.behave(nil)
		b.waitPod("app", "edited", func(p *v1.Pod) bool { return isReady(p) && status(p, "main").ContainerID != id })
	})
}

// What is present is used without the registry by all pods, or by none, where the configuration says so.
func TestImagePullOffline(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	b.configure("imagePullOffline: present\n")
	b.start()
	f := newFakeRegistry(t, false)
	digest := f.push(t, "app:1", 1000)
	b.run("images", "pull", f.address+"/app:1")
	f.Close()
	b.apply("app.yaml", fromNewest("app", f.address+"/app:1"))
	b.runsWith("app", digest)
	b.eventOf("ImageNotChecked", "pod/app", "connection refused")
	b.stop(syscall.SIGKILL)
	b.configure("imagePullOffline: refuse\n")
	b.start()
	b.waitReady("app")
	b.run("restart", "app")
	b.waitPod("app", "waiting", func(p *v1.Pod) bool {
		w := status(p, "main").State.Waiting
		return w != nil && w.Reason == "ImagePullBackOff"
	})
}

// Registries are reached as containerd's hosts.toml says: by mirrors, with CAs of their own. Another certificate is refused, with advice.
func TestHostsToml(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.stop(syscall.SIGKILL)
		b.configure("registryConfigDir: " + b.path("certs.d") + "\n")
		f := newFakeRegistry(t, true)
		f.push(t, "app:1", 1000)
		closed, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		closed.Close() // nobody listens there now
		if err := os.MkdirAll(b.path("certs.d/registry.example"), 0o755); err != nil {
			t.Fatal(err)
		}
		server := fmt.Sprintf("server = %q\n", f.URL)
		b.writeFile("certs.d/registry.example/hosts.toml", server)
		b.start()
		b.apply("app.yaml", fromImage("app", "registry.example/app:1"))
		b.eventOf("Failed", "pod/app", "name the CA of the registry with ca", "certs.d/registry.example/hosts.toml")

		b.writeFile("certs.d/registry.example/hosts.toml", "server = \"https://registry.example\"\nmirror = 1\n")
		if out, err := b.try("images", "pull", "registry.example/app:1"); err == nil || !strings.Contains(out, `hosts.toml: line 2: unknown setting \"mirror\"`) && !strings.Contains(out, `hosts.toml: line 2: unknown setting "mirror"`) {
			t.Errorf("%v: %s", err, out)
		}

		b.writeFile("certs.d/registry.example/ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})))
		b.writeFile("certs.d/registry.example/hosts.toml", fmt.Sprintf("server = \"https://registry.example\"\n[host.\"https://%s\"]\n[host.%q]\nca = \"ca.crt\"\n", closed.Addr(), f.URL))
		b.waitReady("app")
		if out := b.run("images", "ls"); !strings.Contains(out, "registry.example/app:1") {
			t.Errorf("the image has another name:\n%s", out)
		}
	})
}

// A layer goes on where its connection was lost, and a registry that is busy is asked again when it says so: the pod does not notice.
func TestWeakRegistry(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		f := newFakeRegistry(t, false)
		const size = 4 << 20
		digest := f.push(t, "app:1", size)
		var mu sync.Mutex
		cut, busy, whole := 0, 0, 0
		f.behave(func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.Method == http.MethodHead && busy == 0:
				busy++
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests", http.StatusTooManyRequests)
				return true
			case r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/"):
				return false
			case r.Header.Get("Range") == "":
				whole++
			}
			recorded := httptest.NewRecorder()
			f.of.ServeHTTP(recorded, r)
			if recorded.Body.Len() < size/4 || cut == 3 {
				return false
			}
			cut++
			w.Header().Set("Content-Length", fmt.Sprint(recorded.Body.Len()))
			if c := recorded.Header().Get("Content-Range"); c != "" {
				w.Header().Set("Content-Range", c)
			}
			w.WriteHeader(recorded.Code)
			w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2]) //nolint:errcheck // it may be gone
			w.(http.Flusher).Flush()
			if tcp, _, err := w.(http.Hijacker).Hijack(); err == nil {
				tcp.(*net.TCPConn).SetLinger(0) //nolint:errcheck // then it ends otherwise
				tcp.Close()                     // it is to be reset
			}
			return true
		})
		b.apply("app.yaml", fromImage("app", f.address+"/app:1"))
		b.runsWith("app", digest)
		mu.Lock()
		defer mu.Unlock()
		if layers := 3; cut != 3 || busy != 1 || whole > layers+1 { // with the configuration
			t.Errorf("cut %d times, busy %d times, asked for %d whole blobs", cut, busy, whole)
		}
		if out := b.run("get", "events"); strings.Contains(out, "ErrImagePull") {
			t.Errorf("it was noticed:\n%s", out)
		}
	})
}

// Proxies are those of the daemon's environment.
func TestProxy(t *testing.T) {
	t.Parallel()
	f := newFakeRegistry(t, false)
	f.push(t, "app:1", 1000)
	var through sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Store(r.URL.Host, true)
		f.of.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	if err := os.MkdirAll(b.path("certs.d/registry.invalid"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("certs.d/registry.invalid/hosts.toml", "server = \"http://registry.invalid\"\n")
	b.configure("registryConfigDir: " + b.path("certs.d") + "\n")
	b.environ = append(b.environ, "HTTP_PROXY="+proxy.URL)
	b.start()
	b.apply("app.yaml", fromImage("app", "registry.invalid/app:1"))
	b.waitReady("app")
	if _, ok := through.Load("registry.invalid"); !ok {
		t.Error("nothing went through the proxy")
	}
}

// A registry that wants a login gets it from a credential provider plugin, which is asked as by a kubelet.
func TestCredentialProvider(t *testing.T) {
	t.Parallel()
	f := newFakeRegistry(t, false)
	digest := f.push(t, "team/app:1", 1000)
	f.behave(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "box" && password == "hunter22" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		http.Error(w, "who asks?", http.StatusUnauthorized)
		return true
	})
	b := prepareBox(t, embedded)
	b.link(imageArchive, "images/box.tar")
	if err := os.Mkdir(b.path("providers"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.writeFile("providers/key", "#!/bin/sh\ncat >>"+b.path("asked")+"\n"+
		`echo '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","auth":{"`+
		f.address+`/team":{"username":"box","password":"hunter22"}}}'`+"\n")
	if err := os.Chmod(b.path("providers/key"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.writeFile("providers.yaml", "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: key\n  matchImages: ['"+f.address+
		"']\n  defaultCacheDuration: 1h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n")
	b.configure("imageCredentialProviderConfig: " + b.path("providers.yaml") + "\nimageCredentialProviderBinDir: " + b.path("providers") + "\n")
	b.start()
	b.apply("app.yaml", fromNewest("app", f.address+"/team/app:1"))
	b.runsWith("app", digest)
	b.startsAgain("app", digest)
	asked, err := os.ReadFile(b.path("asked"))
	if want := `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + f.address + `/team/app"}`; err != nil || string(asked) != want {
		t.Errorf("the plugin was asked %q (%v), want %q once", asked, err, want)
	}
	if strings.Contains(b.daemonOutput(), "hunter22") {
		t.Error("the log shows the password")
	}
}
