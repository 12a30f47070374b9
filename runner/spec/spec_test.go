package spec

import (
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

func TestEnvironment(t *testing.T) {
	own := []string{"A=5", "B=12", "C=$(D)", "D=4"}
	got := Environment([]string{"PATH=/image", "IMAGE=x", "A=image"}, own, "box", true)
	want := []string{"PATH=/image", "HOSTNAME=box", "TERM=xterm", "IMAGE=x", "A=5", "B=12", "C=$(D)", "D=4"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestCommand(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"default"}}
	// The table of "Define a Command and Arguments for a Container" in Kubernetes' documentation.
	for _, c := range []struct{ command, args, want []string }{
		{nil, nil, []string{"/entry", "default"}},
		{[]string{"/own"}, nil, []string{"/own"}},
		{nil, []string{"arg"}, []string{"/entry", "arg"}},
		{[]string{"/own"}, []string{"arg"}, []string{"/own", "arg"}},
		{[]string{"$(X)"}, []string{"$$(X)", "$(Y)"}, []string{"x", "$(X)", "$(Y)"}},
	} {
		got, err := command(image, &v1.Container{Command: c.command, Args: c.args}, map[string]string{"X": "x"})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("command %q, args %q: got %q, %v", c.command, c.args, got, err)
		}
	}
	if _, err := command(ocispec.ImageConfig{}, &v1.Container{}, nil); err == nil || !strings.Contains(err.Error(), "set command") {
		t.Errorf("without any command: %v", err)
	}
}

func TestCapabilitySet(t *testing.T) {
	available := append(slices.Clone(defaultCapabilities), "CAP_NET_ADMIN", "CAP_SYS_TIME")
	slices.Sort(available)
	for name, c := range map[string]struct {
		all       bool
		add, drop []v1.Capability
		want      []string
	}{
		"default":            {want: defaultCapabilities},
		"add":                {add: []v1.Capability{"NET_ADMIN"}, want: append(slices.Clone(defaultCapabilities), "CAP_NET_ADMIN")},
		"drop all":           {drop: []v1.Capability{"ALL"}},
		"drop all, add":      {drop: []v1.Capability{"all"}, add: []v1.Capability{"net_bind_service", "CAP_CHOWN"}, want: []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}},
		"add all":            {add: []v1.Capability{"ALL"}, want: available},
		"add all, drop":      {add: []v1.Capability{"ALL"}, drop: []v1.Capability{"SYS_TIME"}, want: slices.DeleteFunc(slices.Clone(available), func(s string) bool { return s == "CAP_SYS_TIME" })},
		"privileged":         {all: true, drop: []v1.Capability{"ALL"}, want: available},
		"add and drop one":   {add: []v1.Capability{"NET_ADMIN", "KILL"}, drop: []v1.Capability{"NET_ADMIN"}, want: defaultCapabilities},
		"add and drop all":   {add: []v1.Capability{"ALL"}, drop: []v1.Capability{"ALL"}},
		"all, but what else": {add: []v1.Capability{"ALL", "KILL"}, drop: []v1.Capability{"ALL", "SYS_TIME"}, want: []string{"CAP_KILL"}},
		"not to be given":    {drop: []v1.Capability{"ALL"}, add: []v1.Capability{"SYS_ADMIN"}},
	} {
		got := capabilitySet(c.all, c.add, c.drop, available)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := missing([]v1.Capability{"ALL", "sys_admin", "NET_ADMIN"}, available); !slices.Equal(got, []string{"CAP_SYS_ADMIN"}) {
		t.Errorf("missing are %q", got)
	}
}

func TestUsers(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\n# comment\n\napp:x:1000:1001::/:/bin/false\nbad:x:many:1::/:\nshort:x\n100:x:7:8::/:\n"
	group := "root:x:0:\nstaff:x:50:app,other\naudio:x:29:app\nother:x:60:other\nbad:x:many:app\n"
	number := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		image     string
		pod       v1.PodSecurityContext
		container *v1.SecurityContext
		want      specs.User
		err       string
	}{
		"nothing said":         {want: specs.User{AdditionalGids: []uint32{0}}},
		"image's name":         {image: "app", want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 50, 29}}},
		"image's number":       {image: "1000", want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 50, 29}}},
		"image's group":        {image: "app:staff", want: specs.User{UID: 1000, GID: 50, AdditionalGids: []uint32{50, 29}}},
		"image's numbers":      {image: "5:6", want: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{6}}},
		"a name like a number": {image: "100", want: specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{8}}},
		"pod's user":           {image: "app:staff", pod: v1.PodSecurityContext{RunAsUser: number(5)}, want: specs.User{UID: 5, AdditionalGids: []uint32{0}}},
		"container's user": {pod: v1.PodSecurityContext{RunAsUser: number(5), RunAsGroup: number(6)},
			container: &v1.SecurityContext{RunAsUser: number(1000)}, want: specs.User{UID: 1000, GID: 6, AdditionalGids: []uint32{6, 50, 29}}},
		"only the group":     {image: "app", container: &v1.SecurityContext{RunAsGroup: number(9)}, want: specs.User{UID: 1000, GID: 9, AdditionalGids: []uint32{9, 50, 29}}},
		"unknown name":       {image: "nobody", err: `no user named "nobody"`},
		"unknown group":      {image: "app:nogroup", err: `no group named "nogroup"`},
		"a broken entry":     {image: "bad", err: `no user named "bad"`},
		"an unlisted number": {image: "4711", want: specs.User{UID: 4711, AdditionalGids: []uint32{0}}},
	} {
		got, err := WantedUser(&c.pod, c.container, c.image).Resolve(strings.NewReader(passwd), strings.NewReader(group))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: the error is %v", name, err)
			}
		case err != nil || got.UID != c.want.UID || got.GID != c.want.GID || !slices.Equal(got.AdditionalGids, c.want.AdditionalGids):
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if got, err := WantedUser(&v1.PodSecurityContext{}, nil, "7").Resolve(nil, nil); err != nil || got.UID != 7 {
		t.Errorf("without files: %+v, %v", got, err)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("app", "app:x:1:2", "g:x:3:app")
	f.Add("1", "::::", ":")
	f.Fuzz(func(_ *testing.T, user, passwd, group string) {
		Wanted{User: user, Group: user}.Resolve(strings.NewReader(passwd), strings.NewReader(group)) //nolint:errcheck // it must not panic
	})
}

// What is mounted where, and in which order.
func TestMounts(t *testing.T) {
	in := Input{
		Pod: &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{}}},
		Container: &v1.Container{Command: []string{"x"}, VolumeMounts: []v1.VolumeMount{
			{Name: "deep", MountPath: "/data/a/b", ReadOnly: true}, {Name: "data", MountPath: "data"}, {Name: "data", MountPath: "/etc/hosts/"},
		}},
		Binds: []Bind{{Source: "/host/deep"}, {Source: "/host/data"}, {Source: "/host/data"}},
		Files: map[string]Bind{"/etc/hosts": {Source: "/pod/hosts"}, "/etc/hostname": {Source: "/pod/hostname"}},
		Shm:   "/pod/shm",
	}
	s, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, m := range s.Mounts {
		if m.Source == "/pod/hosts" {
			t.Error("the manifest's own mount at /etc/hosts gave way")
		}
		at[m.Destination] = i
	}
	if at["/data"] > at["/data/a/b"] || at["/proc"] > at["/sys/fs/cgroup"] || at["/dev"] > at["/dev/shm"] {
		t.Errorf("the order is %v", at)
	}
	if m := s.Mounts[at["/data/a/b"]]; m.Source != "/host/deep" || !slices.Contains(m.Options, "ro") {
		t.Errorf("the read-only volume is %+v", m)
	}
	if m := s.Mounts[at["/dev/shm"]]; m.Source != "/pod/shm" {
		t.Errorf("/dev/shm is %+v", m)
	}
	in.Binds[0].ReadOnlyBelow, in.Binds[1].ReadOnlyBelow = true, true
	if s, err = Build(in); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Mounts {
		if m.Destination == "/data/a/b" && !slices.Contains(m.Options, "rro") || m.Destination == "/data" && !slices.Contains(m.Options, "rw") {
			t.Errorf("where pods may only read the volume is %+v", m)
		}
	}
	in.Container.VolumeMounts, in.Binds = []v1.VolumeMount{{Name: "absent", MountPath: "/x"}}, []Bind{{}}
	if _, err := Build(in); err == nil || !strings.Contains(err.Error(), `volume "absent"`) {
		t.Errorf("an absent volume: %v", err)
	}
}

func TestSecurity(t *testing.T) {
	yes, no := true, false
	seccompDefault := false
	runtimeDefault := &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}
	build := func(pod *v1.SeccompProfile, sc *v1.SecurityContext) *specs.Spec {
		t.Helper()
		s, err := Build(Input{
			Pod:       &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SeccompProfile: pod}}},
			Container: &v1.Container{Command: []string{"x"}, SecurityContext: sc}, Unified: true, SeccompDefault: seccompDefault,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hasCgroupNamespace := func(s *specs.Spec) bool {
		return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
	}
	if s := build(nil, nil); s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths) == 0 || s.Process.NoNewPrivileges || !hasCgroupNamespace(s) {
		t.Error("a plain container is not confined as the kubelet's")
	}
	seccompDefault = true
	if s := build(nil, nil); s.Linux.Seccomp == nil {
		t.Error("seccompDefault confines nothing")
	}
	if s := build(nil, &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}); s.Linux.Seccomp != nil {
		t.Error("seccompDefault stands above what the manifest says")
	}
	if s := build(nil, &v1.SecurityContext{Privileged: &yes}); s.Linux.Seccomp != nil {
		t.Error("seccompDefault confines a privileged container")
	}
	seccompDefault = false
	if s := build(runtimeDefault, nil); s.Linux.Seccomp == nil {
		t.Error("the pod's profile is not applied")
	}
	if s := build(runtimeDefault, &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}); s.Linux.Seccomp != nil {
		t.Error("the container's profile does not win")
	}
	if s := build(nil, &v1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes}); !s.Process.NoNewPrivileges || !s.Root.Readonly {
		t.Error("allowPrivilegeEscalation or readOnlyRootFilesystem is not applied")
	}
	s := build(runtimeDefault, &v1.SecurityContext{Privileged: &yes})
	if s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths) > 0 || len(s.Linux.Devices) == 0 || !s.Linux.Resources.Devices[0].Allow || hasCgroupNamespace(s) {
		t.Error("a privileged container is confined")
	}
}

// The rule for a device is that of what is mounted: the path that the manifest names may lead elsewhere by now.
func TestMountedDevice(t *testing.T) {
	char := v1.HostPathCharDev
	got, err := mountedDevices(&Input{
		Pod: &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{
			{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/dev/null", Type: &char}}},
		}}},
		Container: &v1.Container{VolumeMounts: []v1.VolumeMount{{Name: "other"}, {Name: "v"}}},
		Binds:     []Bind{{Source: "/"}, {Source: "/dev/zero"}},
	})
	if err != nil || len(got) != 1 || *got[0].Major != 1 || *got[0].Minor != 5 {
		t.Errorf("the rules are %+v, %v", got, err)
	}
}
