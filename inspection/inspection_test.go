package inspection

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tidy is a box where nothing is to be mended.
func tidy() *Facts {
	return &Facts{
		Now: now,
		Settings: Settings{
			"listen": "127.0.0.1:10255", "plainPort": "metrics", "podSecurity": "baseline", "policy": map[string]any{"images": []any{"a"}}, "seccompDefault": true,
			"manifestKeyFile": "/etc/solopod/manifest-keys", "logLevel": "info", "root": "/var/lib/solopod", "state": "/run/solopod", "socket": "/run/solopod/solopod.sock",
			"manifests": "/etc/solopod/manifests",
		},
		Kernel: Kernel{CgroupV2: true, Seccomp: true, Module: "apparmor", Major: 6, Minor: 12, Sysctls: map[string]string{
			"kernel.yama.ptrace_scope": "1", "kernel.dmesg_restrict": "1", "fs.protected_hardlinks": "1", "fs.protected_symlinks": "1", "fs.protected_fifos": "2",
			"fs.protected_regular": "2", "kernel.unprivileged_bpf_disabled": "2", "user.max_user_namespaces": "0", "kernel.core_pattern": "core",
		}},
		Runtimes:     []Runtime{{"runc", "runc", "1.3.3"}},
		Certificates: []Certificate{{Path: "/c", Until: now.AddDate(1, 0, 0)}},
		Tokens:       []Token{{"u", 64, 16}},
		Paths:        []Path{{Role: Trusted, Name: "/var/lib/solopod", Mode: 0o711}, {Role: Control, Name: "/s", Mode: 0o660, GID: 7, Group: 7}, {Role: Above, Name: "/tmp", Mode: 0o777, Sticky: true}},
		Pods:         []v1.Pod{*strictPod()},
	}
}

func strictPod() *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "p"}, Spec: v1.PodSpec{
		SecurityContext: &v1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}},
		Containers: []v1.Container{{
			Name: "c", Image: "registry/i:1", SecurityContext: &v1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false)},
		}},
	}}
	p.Spec.Resources = &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}}
	return p
}

func TestTidyBox(t *testing.T) {
	if r := Judge(tidy(), nil); len(r.Findings) != 0 || r.Bad() {
		t.Errorf("%+v", r)
	}
}

// Each row: what is changed of a tidy box, and just those checks that find something, and what.
func TestChecks(t *testing.T) {
	set := func(name string, value any) func(*Facts) { return func(f *Facts) { f.Settings[name] = value } }
	path := func(p Path) func(*Facts) { return func(f *Facts) { f.Paths = append(f.Paths, p) } }
	sys := func(name, value string) func(*Facts) { return func(f *Facts) { f.Kernel.Sysctls[name] = value } }
	pod := func(change func(*v1.Pod)) func(*Facts) { return func(f *Facts) { change(&f.Pods[0]) } }
	container := func(change func(*v1.Container)) func(*Facts) {
		return pod(func(p *v1.Pod) { change(&p.Spec.Containers[0]) })
	}
	volume := func(host string, readOnly bool) func(*Facts) {
		return pod(func(p *v1.Pod) {
			p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: host}}}}
			p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "v", MountPath: "/v", ReadOnly: readOnly}}
		})
	}
	for name, c := range map[string]struct {
		change func(*Facts)
		want   string // ids and a part of the subject
	}{
		"writable for all":             {path(Path{Name: "/x", What: "manifest", Mode: 0o646}), "file-writable manifest /x (mode 0646"},
		"writable for a group":         {path(Path{Name: "/x", Mode: 0o664, GID: 5}), "file-writable /x"},
		"writable for root's":          {path(Path{Name: "/x", Mode: 0o664}), ""},
		"/var/log on Ubuntu":           {path(Path{Role: Open, Name: "/var/log", Mode: 0o775, GID: 4}), ""},
		"a log directory for all":      {path(Path{Role: Open, Name: "/l", Mode: 0o777}), "file-writable /l"},
		"another's":                    {path(Path{Name: "/x", Mode: 0o644, UID: 1000}), "file-owner uid 1000"},
		"a private one":                {path(Path{Role: Private, Name: "/x", Mode: 0o700}), ""},
		"one can enter":                {path(Path{Role: Private, Name: "/x", Mode: 0o711}), "file-open /x"},
		"a group can read":             {path(Path{Role: Private, Name: "/x", Mode: 0o640, GID: 4}), "file-open /x"},
		"above it is writable":         {path(Path{Role: Above, Name: "/x", Mode: 0o777}), "parent-writable /x"},
		"above it is another's":        {path(Path{Role: Above, Name: "/x", Mode: 0o755, UID: 33}), "parent-writable /x"},
		"a socket for all":             {path(Path{Role: Control, Name: "/x", Mode: 0o666}), "socket-open /x"},
		"a socket of a group":          {path(Path{Role: Control, Name: "/x", Mode: 0o660, GID: 9, Group: 7}), "socket-open gid 9"},
		"socketGroup":                  {func(f *Facts) { f.SocketGroup = []string{"group ops: eve"} }, "socket-group eve"},
		"the port on all":              {set("listen", "0.0.0.0:10255"), "plain-port-exposed 0.0.0.0"},
		"the port without host":        {set("listen", ":10255"), "plain-port-exposed :10255"},
		"the port on IPv6":             {set("listen", "[::1]:10255"), ""},
		"the port reads":               {set("plainPort", "read"), "plain-port-read "},
		"an older daemon's port":       {func(f *Facts) { delete(f.Settings, "plainPort") }, "plain-port-read "},
		"no port":                      {func(f *Facts) { delete(f.Settings, "plainPort"); f.Settings["listen"] = "" }, ""},
		"TLS for nobody":               {set("tlsListen", ":10250"), "tls-nobody "},
		"TLS for somebody":             {func(f *Facts) { f.Settings["tlsListen"], f.Settings["authTokenFile"] = ":1", "/t" }, ""},
		"an old certificate":           {func(f *Facts) { f.Certificates[0].Until = now.AddDate(0, 0, 29) }, "certificate-end 2026-01-30"},
		"SHA-1":                        {func(f *Facts) { f.Certificates[0].Weak = "SHA1-RSA" }, "certificate-weak SHA1-RSA"},
		"a short key":                  {func(f *Facts) { f.Certificates[0].KeyBits = 1024 }, "certificate-weak 1024"},
		"a short token":                {func(f *Facts) { f.Tokens[0].Length = 16 }, "token-weak 16 characters"},
		"a dull token":                 {func(f *Facts) { f.Tokens[0].Different = 2 }, "token-weak 2 different"},
		"privileged for all":           {set("podSecurity", "privileged"), "pod-security "},
		"no podSecurity":               {set("podSecurity", nil), "pod-security "},
		"podSecurity by name":          {set("podSecurity", map[string]any{"enforce": "restricted"}), ""},
		"podSecurity only warns":       {set("podSecurity", map[string]any{"warn": "restricted"}), "pod-security "},
		"no policy":                    {set("policy", map[string]any{}), "policy "},
		"no seccomp by default":        {set("seccompDefault", false), "seccomp-default "},
		"no signers":                   {set("manifestKeyFile", ""), "signatures "},
		"nothing is written down":      {set("logLevel", "warn"), "audit-nowhere "},
		"it is in a file":              {func(f *Facts) { f.Settings["logLevel"], f.Settings["auditLog"] = "warn", "/a" }, ""},
		"an old runc":                  {func(f *Facts) { f.Runtimes[0].Version = "1.1.11" }, "runtime-holes CVE-2024-21626"},
		"a strange runtime":            {func(f *Facts) { f.Runtimes[0] = Runtime{"runsc", "runsc", "x"} }, "runtime-unknown runsc"},
		"no seccomp":                   {func(f *Facts) { f.Kernel.Seccomp = false }, "seccomp "},
		"no security module":           {func(f *Facts) { f.Kernel.Module = "" }, "security-module "},
		"cgroup v1":                    {func(f *Facts) { f.Kernel.CgroupV2 = false }, "cgroup-v1 "},
		"swap":                         {func(f *Facts) { f.Kernel.Swap = []string{"/dev/sda2"} }, "swap /dev/sda2"},
		"swap of old":                  {func(f *Facts) { f.Kernel.Swap, f.Kernel.Minor = []string{"/dev/sda2"}, 1 }, "swap /dev/sda2; no-noswap "},
		"ptrace":                       {sys("kernel.yama.ptrace_scope", "0"), "ptrace-scope is 0"},
		"no Yama":                      {func(f *Facts) { delete(f.Kernel.Sysctls, "kernel.yama.ptrace_scope") }, ""},
		"bpf":                          {sys("kernel.unprivileged_bpf_disabled", "0"), "bpf is 0"},
		"links":                        {sys("fs.protected_symlinks", "0"), "protected-symlinks is 0"},
		"user namespaces":              {sys("user.max_user_namespaces", "1000"), "user-namespaces "},
		"forwarding, with a pod of it": {sys("net.ipv4.ip_forward", "1"), ""},
		"forwarding for nobody": {func(f *Facts) {
			f.Kernel.Sysctls["net.ipv4.ip_forward"], f.Pods[0].Spec.HostNetwork = "1", true
		}, "ip-forward ; pod-host-network d/p"},
		"state on a disk": {func(f *Facts) { f.OnDisk = true }, "state-on-disk /run/solopod"},
		"cores":           {sys("kernel.core_pattern", "|/usr/share/apport %p"), "core-pattern apport"},
		"route_localnet":  {func(f *Facts) { f.Kernel.RouteLocalnet = []string{"eth0"} }, "route-localnet eth0"},
		"privileged":      {container(func(c *v1.Container) { c.SecurityContext.Privileged = ptr.To(true) }), "pod-privileged d/p/c"},
		"an init container": {pod(func(p *v1.Pod) {
			c := p.Spec.Containers[0].DeepCopy()
			c.Name = "i"
			c.SecurityContext.Privileged = ptr.To(true)
			p.Spec.InitContainers = []v1.Container{*c}
		}), "pod-privileged d/p/i"},
		"the socket of containerd": {volume("/var/run/containerd/containerd.sock", true), "pod-runtime-socket containerd.sock"},
		"Solopod's own":            {volume("/run/solopod", true), "pod-runtime-socket /run/solopod"},
		"all of /run":              {volume("/run/", true), "pod-runtime-socket /run/"},
		"the whole disk":           {volume("//", true), "pod-host-root //"},
		"/etc":                     {volume("/etc/../etc/cron.d", false), "pod-host-path /etc/../etc/cron.d"},
		"/etc, read-only":          {volume("/etc/ssl", true), ""},
		"a directory of its own":   {volume("/data", false), ""},
		"hostPID":                  {pod(func(p *v1.Pod) { p.Spec.HostPID, p.Spec.HostIPC = true, true }), "pod-host-processes d/p: hostIPC hostPID"},
		"hostNetwork":              {pod(func(p *v1.Pod) { p.Spec.HostNetwork = true }), "pod-host-network d/p"},
		"capabilities": {container(func(c *v1.Container) {
			c.SecurityContext.Capabilities = &v1.Capabilities{Add: []v1.Capability{"CAP_SYS_ADMIN", "CHOWN"}}
		}), "pod-capabilities d/p/c: SYS_ADMIN"},
		"unconfined": {pod(func(p *v1.Pod) { p.Spec.SecurityContext.SeccompProfile.Type = v1.SeccompProfileTypeUnconfined }), "pod-unconfined d/p/c: seccomp"},
		"confined again": {pod(func(p *v1.Pod) {
			p.Spec.SecurityContext.SeccompProfile.Type = v1.SeccompProfileTypeUnconfined
			p.Spec.Containers[0].SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}
		}), ""},
		"no AppArmor": {container(func(c *v1.Container) {
			c.SecurityContext.AppArmorProfile = &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
		}), "pod-unconfined AppArmor"},
		"root":          {pod(func(p *v1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = nil }), "pod-root d/p/c"},
		"root of users": {pod(func(p *v1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = nil; p.Spec.HostUsers = ptr.To(false) }), ""},
		"a user": {pod(func(p *v1.Pod) {
			p.Spec.SecurityContext.RunAsNonRoot, p.Spec.SecurityContext.RunAsUser = nil, ptr.To(int64(7))
		}), ""},
		"escalation": {container(func(c *v1.Container) { c.SecurityContext = nil }), "pod-escalation d/p/c"},
		"latest":     {container(func(c *v1.Container) { c.Image = "host:5000/i:latest" }), "pod-image host:5000/i:latest"},
		"no tag":     {container(func(c *v1.Container) { c.Image = "host:5000/i" }), "pod-image host:5000/i"},
		"a digest":   {container(func(c *v1.Container) { c.Image = "i@sha256:0" }), ""},
		"no memory":  {pod(func(p *v1.Pod) { p.Spec.Resources = nil }), "pod-memory d/p/c"},
		"no pods":    {func(f *Facts) { f.Pods = nil }, ""},
	} {
		f := tidy()
		c.change(f)
		r := Judge(f, nil)
		var wants []string
		if c.want != "" {
			wants = strings.Split(c.want, "; ")
		}
		if len(r.Findings) != len(wants) {
			t.Errorf("%s: %+v, want %q", name, r.Findings, c.want)
			continue
		}
		for i, want := range wants {
			id, part, _ := strings.Cut(want, " ")
			if got := r.Findings[i]; got.ID != id || !strings.Contains(got.Subject, part) || part == "" && got.Subject != "" {
				t.Errorf("%s: %+v, want %q", name, got, want)
			}
		}
	}
}

// Severities say the exit code; what is ignored does not count; the worst comes first; names are unique.
func TestJudge(t *testing.T) {
	f := tidy()
	f.Settings["policy"] = nil
	if r := Judge(f, nil); r.Bad() || len(r.Findings) != 1 {
		t.Errorf("info is bad: %+v", r)
	}
	f.Kernel.Module = ""
	f.Kernel.Seccomp = false
	r := Judge(f, nil)
	if got := fmt.Sprint(r.Findings[0].ID, r.Findings[1].ID, r.Findings[2].ID); !r.Bad() || got != "seccomp"+"security-module"+"policy" {
		t.Errorf("in this order: %s", got)
	}
	if r := Judge(f, []string{"seccomp", "security-module"}); r.Bad() || len(r.Findings) != 1 {
		t.Errorf("with some ignored: %+v", r)
	}
	if data, err := json.Marshal(Judge(tidy(), nil)); err != nil || string(data) != `{"findings":[],"unseen":[]}` {
		t.Errorf("nothing is %s, %v", data, err)
	}
	f.Pods = slices.Repeat([]v1.Pod{{Spec: v1.PodSpec{HostNetwork: true}}}, 5000)
	if n := len(Judge(f, nil).Findings); n > 2000 {
		t.Errorf("%d findings", n)
	}
	ids := IDs()
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("two checks have one name: %v", ids)
	}
	for _, c := range checks() {
		if c.title == "" || c.advice == "" || c.severity.rank() < 0 {
			t.Errorf("%+v", c.id)
		}
	}
}

func TestHoles(t *testing.T) {
	all := len(runcHoles)
	for text, open := range map[string]int{
		"1.1.4": all, "1.1.5+ds1": all - 1, "1.1.12": 2, "1.1.14": 1, "1.1.15": 1, "1.2.0-rc.1": 2, "1.2.0-rc.3": 1, "1.2.7": 1, "1.2.8": 0, "1.3.0": 1, "1.3.2": 1, "1.3.3": 0,
		"1.4.0-rc.2": 1, "1.4.0-rc.3": 0, "1.4.0": 0, "1.5.0": 0, "2.0.0": 0, "1.0.0-rc93": all, "unknown": 0, "": 0,
	} {
		if got := openHoles(text); len(got) != open {
			t.Errorf("%s has %v, want %d", text, got, open)
		}
	}
	for said, want := range map[string]Runtime{
		"runc version 1.1.5+ds1\ncommit: x\n": {"r", "runc", "1.1.5+ds1"}, "crun version 1.21\n": {"r", "crun", "1.21"}, "runsc version release-2026\n": {"r", "runsc", "release-2026"},
		"": {Name: "r"}, "usage\n": {Name: "r"}, "runc version " + strings.Repeat("1", 5000): {Name: "r"},
	} {
		if got := parseRuntime("r", said); got != want {
			t.Errorf("%.40q: %+v", said, got)
		}
	}
}

func TestParsers(t *testing.T) {
	swaps := parseSwaps("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram0   partition\t1\t0\t100\n/swap\\040file file 1 0 -2\n\n")
	if !slices.Equal(swaps, []string{"/dev/zram0", `/swap\040file`}) {
		t.Errorf("%q", swaps)
	}
	if a, b := parseRelease("6.18.44-fc"); a != 6 || b != 18 {
		t.Errorf("%d.%d", a, b)
	}
	tokens := parseTokens("# comment,a,b\nabcabcabc,u,admin\n\nbroken\nzzzz,v,read-only")
	if !slices.Equal(tokens, []Token{{"u", 9, 3}, {"v", 4, 1}}) {
		t.Errorf("%+v", tokens)
	}
	for text, want := range map[string]bool{
		"kind: Secret\n": true, "a: 1\n---\nkind: \"Secret\"": true, `{"kind": "Secret"}`: true, "kind: SecretList": false, "kind: Pod\nsecret: x": false, "imagePullSecrets:": false,
	} {
		if hasSecret.MatchString(text) != want {
			t.Errorf("%q", text)
		}
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now}
	var data []byte
	for _, key := range []any{short, good} {
		public := any(&short.PublicKey)
		if key == any(good) {
			public = &good.PublicKey
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, good)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")})...)
	got := parseCertificates("/c", append([]byte("text\n"), data...))
	if len(got) != 2 || got[0].KeyBits != 1024 || got[1].KeyBits != 0 || !got[1].Until.Equal(now) {
		t.Errorf("%+v", got)
	}
}
