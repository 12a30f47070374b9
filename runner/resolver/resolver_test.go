package resolver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/solopod/solopod/runner/internal/testbox"
)

func TestMain(m *testing.M) { testbox.Main(m) }

func pod(host bool, policy v1.DNSPolicy, config *v1.PodDNSConfig) *v1.Pod {
	return &v1.Pod{Spec: v1.PodSpec{HostNetwork: host, DNSPolicy: policy, DNSConfig: config}}
}

// TestFor: what pods get of a configuration, by their policy and dnsConfig.
func TestFor(t *testing.T) {
	f := judge(DefaultPath, "# by hand\nsearch lan example.org\nnameserver 192.0.2.1 # the router\nnameserver 192.0.2.2\nnameserver 2001:db8::3\n"+
		"nameserver 192.0.2.4\noptions ndots:1 rotate\n;nameserver 192.0.2.9\n", nil)
	config := &v1.PodDNSConfig{
		Nameservers: []string{"192.0.2.2", "192.0.2.7"}, Searches: []string{"lan", "more"},
		Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("5")}, {Name: "edns0"}},
	}
	const all = "search lan example.org\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 2001:db8::3\noptions ndots:1 rotate\n"
	for name, c := range map[string]struct {
		pod  *v1.Pod
		want string
	}{
		"Default":                         {pod(false, v1.DNSDefault, nil), all},
		"ClusterFirst":                    {pod(false, v1.DNSClusterFirst, nil), all},
		"ClusterFirstWithHostNet":         {pod(true, v1.DNSClusterFirstWithHostNet, nil), all},
		"None":                            {pod(false, v1.DNSNone, config), "search lan more\nnameserver 192.0.2.2\nnameserver 192.0.2.7\noptions ndots:5 edns0\n"},
		"with a configuration of its own": {pod(false, v1.DNSDefault, config), "search lan example.org more\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 2001:db8::3\noptions rotate ndots:5 edns0\n"},
	} {
		if got := f.For(c.pod); got != c.want || f.Problem != "" || f.Note != "" || f.Lacks(c.pod) != "" {
			t.Errorf("%s: %q\n(%s%s)", name, got, f.Problem, f.Note)
		}
	}
}

// TestLocal: servers that answer on the machine only are no use to pods with a network of their own.
func TestLocal(t *testing.T) {
	files := map[string]string{}
	look := func(path string) string { return files[path] }
	stub := "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n"
	for name, c := range map[string]struct {
		text               string
		files              map[string]string
		want, note, advice string
	}{
		"systemd-resolved":       {stub, map[string]string{ofResolved: "nameserver 192.0.2.2\nsearch lan\n"}, "search lan\nnameserver 192.0.2.2\n", ofResolved, ""},
		"without its file":       {stub, nil, "search lan\noptions edns0 trust-ad\n", "", "resolvConf"},
		"dnsmasq":                {"nameserver 127.0.0.1\nsearch lan\n", map[string]string{ofDnsmasq: "nameserver 192.0.2.3\n", ofResolved: "nameserver 192.0.2.9\n"}, "search lan\nnameserver 192.0.2.3\n", ofDnsmasq, ""},
		"of NetworkManager":      {"nameserver 127.0.1.1\n", map[string]string{ofNetworkManager: "nameserver 192.0.2.4\n", ofDnsmasq: "nameserver 192.0.2.3\n"}, "nameserver 192.0.2.4\n", ofNetworkManager, ""},
		"whose own is local too": {"nameserver ::1\n", map[string]string{ofNetworkManager: "nameserver 127.0.0.1\n", ofDnsmasq: "nameserver 192.0.2.3\n"}, "nameserver 192.0.2.3\n", ofDnsmasq, ""},
		"beside another":         {"nameserver ::1\nnameserver 192.0.2.5\n", map[string]string{ofDnsmasq: "nameserver 192.0.2.3\n"}, "nameserver 192.0.2.5\n", "192.0.2.5", ""},
		"of all addresses":       {"nameserver 0.0.0.0\n", nil, "", "", "0.0.0.0"},
		"of one link":            {"nameserver fe80::1%eth0\nnameserver 169.254.169.253\n", nil, "nameserver 169.254.169.253\n", "169.254", ""},
		"none":                   {"search lan\n", nil, "search lan\n", "", "no nameserver"},
		"nothing":                {"", nil, "", "", "no nameserver"},
	} {
		files = c.files
		f := judge(DefaultPath, c.text, look)
		if got := f.For(pod(false, v1.DNSDefault, nil)); got != c.want {
			t.Errorf("%s: a pod gets %q", name, got)
		}
		if got := f.For(pod(true, v1.DNSDefault, nil)); got != parse(c.text).String() {
			t.Errorf("%s: a pod with the host's network gets %q", name, got)
		}
		if (f.Note == "") != (c.note == "") || !strings.Contains(f.Note, c.note) || (f.Problem == "") != (c.advice == "") || !strings.Contains(f.Problem, c.advice) {
			t.Errorf("%s: it says %q and %q", name, f.Problem, f.Note)
		}
		own := &v1.PodDNSConfig{Nameservers: []string{"192.0.2.8"}}
		if f.Lacks(pod(false, v1.DNSDefault, nil)) != f.Problem || f.Lacks(pod(false, v1.DNSDefault, own)) != "" || f.Lacks(pod(false, v1.DNSNone, nil)) != "" {
			t.Errorf("%s: who lacks a nameserver is not told well", name)
		}
	}
}

// TestRead: a file that is none, or is not there, holds nothing up, and what it said last counts.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	r := New(path)
	says := func(content, problem string) {
		t.Helper()
		f := r.Read(t.Context())
		if got := f.For(pod(false, v1.DNSDefault, nil)); got != content || (f.Problem == "") != (problem == "") || !strings.Contains(f.Problem, problem) {
			t.Errorf("it says %q, %q", got, f.Problem)
		}
		if f.Known() == strings.Contains(f.Problem, "new ones have none") {
			t.Errorf("it is known: %v, and it says %q", f.Known(), f.Problem)
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	says("", "new ones have none") // it was never read
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	says("", "does not exist")
	write(t, path, "nameserver 192.0.2.1\n")
	says("nameserver 192.0.2.1\n", "")
	for _, make := range []func() error{
		func() error { return unix.Mkfifo(path, 0o600) }, func() error { return os.Mkdir(path, 0o700) }, func() error { return os.Symlink("resolv.conf", path) },
		func() error { return os.WriteFile(path, []byte(strings.Repeat("#", most+1)), 0o600) },
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := make(); err != nil {
			t.Fatal(err)
		}
		says("nameserver 192.0.2.1\n", "cannot be read")
	}
	if f := New("").Read(t.Context()); f.For(pod(false, v1.DNSDefault, nil)) != "" || f.Problem == "" || !f.Known() {
		t.Errorf("without a configuration: %+v", f)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWatch: each way in which programs change a configuration is seen.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "resolv.conf")
	write(t, path, "nameserver 192.0.2.1\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(chan string, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New(path).Watch(ctx, func(f Found) { told <- strings.ReplaceAll(f.For(pod(false, v1.DNSDefault, nil)), "\n", ";") })
	}()
	step := func(want string, change func() error) {
		t.Helper()
		if change != nil {
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("it is told %q, not %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("it is not told %q", want)
		}
	}
	server := func(n int) (string, string) {
		return fmt.Sprintf("nameserver 192.0.2.%d\n", n), fmt.Sprintf("nameserver 192.0.2.%d;", n)
	}
	_, first := server(1)
	step(first, nil)
	two, second := server(2)
	step(second, func() error { return os.WriteFile(path, []byte(two), 0o644) }) // emptied, and written
	three, third := server(3)
	step(third, func() error { // replaced
		next := filepath.Join(dir, "etc", "next")
		return firstError(os.WriteFile(next, []byte(three), 0o644), os.Rename(next, path))
	})
	target := filepath.Join(dir, "run", "deep", "resolv.conf")
	step("", func() error { return firstError(os.Remove(path), os.Symlink("../run/deep/resolv.conf", path)) }) // a link to what is not there yet
	four, fourth := server(4)
	step(fourth, func() error { write(t, target, four); return nil })
	five, fifth := server(5)
	step(fifth, func() error { return os.WriteFile(target, []byte(five), 0o644) })
	step("", func() error { return os.RemoveAll(filepath.Join(dir, "run")) })
	step(fourth, func() error { write(t, target, four); return nil })
	mounted := filepath.Join(dir, "elsewhere")
	write(t, mounted, five)
	if err := unix.Mount(mounted, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(target, unix.MNT_DETACH) //nolint:errcheck // the test's own namespace
	six, sixth := server(6)
	step(fifth, func() error { return os.Chmod(filepath.Dir(target), 0o700) }) // which has it looked at: a mount is not told
	step(sixth, func() error { return os.WriteFile(mounted, []byte(six), 0o644) })
	step("", func() error { return os.WriteFile(mounted, []byte("nameserver 127.0.0.53\n"), 0o644) })
	seven, seventh := server(7)
	step(seventh, func() error { write(t, ofResolved, seven); return nil })
	cancel()
	<-ended
	if len(told) != 0 {
		t.Errorf("it is told more: %q", <-told)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func FuzzParse(f *testing.F) {
	f.Add("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n")
	f.Fuzz(func(t *testing.T, text string) {
		found := judge(DefaultPath, text, func(string) string { return text })
		c := parse(found.For(pod(false, v1.DNSDefault, nil)))
		if len(c.nameservers) > mostNameservers {
			t.Errorf("a pod gets %d nameservers", len(c.nameservers))
		}
		for _, s := range c.nameservers {
			if local(s) {
				t.Errorf("a pod gets the nameserver %s", s)
			}
		}
	})
}
