package remote

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func nobody(string) (string, string, error) { return "", "", nil }

// server is a registry that knows one digest, over TLS; ca is the file of its certificate.
func server(t *testing.T, asked *[]string) (address, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", someDigest)
		w.Header().Set("Content-Length", "2")
		fmt.Fprint(w, "{}")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Listener.Addr().String(), ca
}

// configured has a hosts.toml for registry.example.
func configured(t *testing.T, text string) *Registries {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "registry.example"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "registry.example", "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return New(dir)
}

// A mirror is asked in place of the registry, with its CA, and the next one where it does not answer; without its CA it is refused, with
// advice.
func TestMirror(t *testing.T) {
	var asked []string
	address, ca := server(t, &asked)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close() // nobody listens there now
	mirror := fmt.Sprintf("[host.\"https://%s\"]\n[host.\"https://%s\"]\nca = %q\n", closed.Addr(), address, ca)
	digest, err := configured(t, mirror).Digest(t.Context(), "registry.example/app:1", nobody)
	if err != nil || digest != someDigest {
		t.Errorf("%s, %v", digest, err)
	}
	if len(asked) != 1 || asked[0] != "HEAD /v2/app/manifests/1?ns=registry.example" {
		t.Errorf("asked: %q", asked)
	}
	// The server that the file names is the last to be asked.
	_, err = configured(t, fmt.Sprintf("server = \"https://%s\"\n", address)).Digest(t.Context(), "registry.example/app:1", nobody)
	if err == nil || !strings.Contains(err.Error(), "name the CA of the registry with ca (") || !strings.Contains(err.Error(), "registry.example/hosts.toml)") || !NoAnswer(err) {
		t.Errorf("no CA: %v", err)
	}
	_, err = configured(t, fmt.Sprintf("server = \"https://localhost:%s\"\nca = %q\n", address[strings.LastIndex(address, ":")+1:], ca)).Digest(t.Context(), "registry.example/app:1", nobody)
	if err == nil || !strings.Contains(err.Error(), "the certificate is for other names") {
		t.Errorf("another name: %v", err)
	}
}

// A registry that speaks no TLS is not asked without, unless it is said.
func TestPlain(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }))
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	_, err := configured(t, fmt.Sprintf("server = \"https://%s\"\n", address)).Digest(t.Context(), "registry.example/app:1", nobody)
	if err == nil || !strings.Contains(err.Error(), `it speaks plain HTTP`) {
		t.Errorf("%v", err)
	}
	_, err = configured(t, fmt.Sprintf("server = \"http://%s\"\n", address)).Digest(t.Context(), "registry.example/app:1", nobody)
	if !errdefs.IsNotFound(err) || NoAnswer(err) {
		t.Errorf("%v", err)
	}
}

// A hosts.toml with a mistake is told with its place, and nothing is asked elsewhere than was meant.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"server = \"https://mirror.example":              "registry.example/hosts.toml: line 1: ",
		"server = \"https://m.example\"\nsever = 1\n":    `registry.example/hosts.toml: line 2: unknown setting "sever"`,
		"[host.\"https://m.example\"]\nskip_verifi=true": `line 2: unknown setting "host.https://m.example.skip_verifi"`,
		"capabilities = [\"pul\"]":                       `the server: unknown capability "pul"; there are pull, resolve, push and referrers`,
		"[host.\"ftp://m.example\"]\n":                   "host ftp://m.example: ftp is no way to reach a registry",
		"dial_timeout = \"soon\"":                        "dial_timeout: ",
		"ca = \"missing.crt\"":                           "missing.crt",
		strings.Repeat("# too long\n", 100_000):          "hosts.toml: ",
	} {
		_, err := configured(t, text).Digest(t.Context(), "registry.example/app:1", nobody)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	if err := check([]byte("server = \"https://a.example\"\n[host.\"https://m.example\"]\ncapabilities=[\"pull\",\"resolve\"]\nca=\"a.crt\"\nclient=[[\"a.cert\",\"a.key\"]]\n" +
		"skip_verify=false\noverride_path=true\ndial_timeout=\"3s\"\n[host.\"https://m.example\".header]\nx-a=[\"b\"]\n")); err != nil {
		t.Error(err)
	}
}

// A registry that hangs is no answer within the caller's limit.
func TestHangs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(s.Close)
	ctx, cancel := contextWithin(t, 100*time.Millisecond)
	defer cancel()
	_, err := configured(t, fmt.Sprintf("server = \"http://%s\"\n", s.Listener.Addr())).Digest(ctx, "registry.example/app:1", nobody)
	if !NoAnswer(err) {
		t.Errorf("%v", err)
	}
}
