package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user of the machine without any right.
const nobody = 65534

// asNobody runs f as that user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	asUser(t, nobody, nobody, f)
}

// allowed is what others may do with what the daemon makes, and why. A path that matches none of these is closed to them.
var allowed = []struct {
	path, may, why string
}{
	{`root`, "x", "the directory of images and a server's certificate may be given to others by the operator"},
	{`state`, "x", "the API's socket lies there, for the group that it is given to"},
	{`state/containerd`, "x", "root of a pod with users of its own passes here to its root file system; below, the bundles are closed"},
	{`state/containerd/io\.containerd\.runtime\.v2\.task(/solopod)?`, "x", "the same"},
	{`log`, "rx", "as a kubelet's /var/log"},
	{`log/(pods|containers)`, "rx", "log shippers without root's rights, in the group that reads the files, find them there"},
	{`log/pods/[^/]+(/[^/]+)?`, "rx", "the same"},
}

func mayOthers(name string) string {
	for _, a := range allowed {
		if regexp.MustCompile("^" + a.path + "$").MatchString(name) {
			return a.may
		}
	}
	return ""
}

// tree lists all that is below directories of the box, itself included, as root sees it.
func (b *box) tree(dirs ...string) []string {
	b.t.Helper()
	var out []string
	for _, dir := range dirs {
		err := filepath.WalkDir(b.path(dir), func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // it went meanwhile
				return nil
			}
			name, relErr := filepath.Rel(b.dir, path)
			out = append(out, name)
			return errors.Join(err, relErr)
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return out
}

// opened tries what another user may do with a file, for real, and returns it in the letters of a mode.
func opened(path string) string {
	var can strings.Builder
	var st unix.Stat_t
	if unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return "" // what it leads to is in the tree, or no secret
	}
	for _, try := range []struct {
		letter string
		mode   uint32
		flags  int
	}{{"r", unix.R_OK, unix.O_RDONLY}, {"w", unix.W_OK, unix.O_WRONLY}, {"x", unix.X_OK, -1}} {
		ok := unix.Access(path, try.mode) == nil
		if fd, err := unix.Open(path, try.flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); try.flags >= 0 && err == nil {
			unix.Close(fd)
			ok = true
		}
		if ok {
			can.WriteString(try.letter)
		}
	}
	return can.String()
}

// open finds what a user without any right can read, list, write, enter or execute of the daemon's, but for what is allowed.
func (b *box) open() []string {
	b.t.Helper()
	var out []string
	all := b.tree("root", "state", "log")
	asNobody(b.t, func() {
		for _, name := range all {
			if got, may := opened(b.path(name)), mayOthers(name); strings.Trim(got, may) != "" {
				out = append(out, fmt.Sprintf("%s of %s, and not just %q", got, name, may))
			}
		}
	})
	if len(all) < 50 {
		b.t.Errorf("only %d files were tried: %v", len(all), all)
	}
	return out
}

// everything is a pod with what may be worth reading or writing: a Secret in a volume, emptyDirs, a claim, and a set-uid program that it leaves.
func everything(name, extra string) string {
	script := "echo mine >/data/file; cp /bin/busybox /data/id; chmod 4755 /data/id; chmod 777 /data /mem; echo 1 >/mem/file; echo 1 >/claim/file; " + forever
	return `apiVersion: v1
kind: Secret
metadata: {name: ` + name + `}
stringData: {password: TOPSECRET}
---
` + strings.Replace(shell(name, script, extra+`
volumes:
- {name: secret, secret: {secretName: `+name+`, defaultMode: 0444}}
- {name: data, emptyDir: {}}
- {name: mem, emptyDir: {medium: Memory}}
- {name: claim, persistentVolumeClaim: {claimName: `+name+`}}`), "  - name: main\n", `  - name: main
    env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: `+name+`, key: password}}}]
    readinessProbe: {exec: {command: [test, -e, /claim/file]}, periodSeconds: 1, timeoutSeconds: 30}
    volumeMounts: [{name: secret, mountPath: /secret}, {name: data, mountPath: /data}, {name: mem, mountPath: /mem}, {name: claim, mountPath: /claim}]
`, 1)
}

// A user of the machine without any right can read, write, list, enter and execute nothing of what pods have.
func TestOtherUsers(t *testing.T) {
	bothModes(t, func(t *testing.T, b *box) {
		b.applyObject("plain.yaml", everything("plain", ""))
		b.applyObject("own.yaml", strings.Replace(everything("own", "hostUsers: false\nshareProcessNamespace: true"), "  hostNetwork: true\n", "", 1))
		plain := b.waitReady("plain")
		if b.mode == embedded || b.mapsUsers() {
			b.waitReady("own")
		}
		b.run("exec", "plain", "--", "true")
		for _, found := range b.open() {
			t.Errorf("another user has %s", found)
		}
		// What the walk has looked at is what it is said to be.
		volume := b.path("root/pods/" + string(plain.UID) + "/volumes/data")
		if info, err := os.Stat(filepath.Join(volume, "id")); err != nil || info.Mode()&os.ModeSetuid == 0 {
			t.Errorf("the container has left no set-uid program: %v", err)
		}
		b.crash()
		b.start()
		b.waitReady("plain")
		for _, found := range b.open() {
			t.Errorf("after a restart another user has %s", found)
		}
		if out := b.run("get", "events"); strings.Contains(out, "Directories") {
			t.Errorf("something had to be closed:\n%s", out)
		}
	})
}

// Modes and owners that somebody has changed are put right at the next start, and told; pods run on.
func TestOpenedDirectories(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	b.applyObject("plain.yaml", everything("plain", ""))
	before := b.waitReady("plain")
	b.crash()
	elsewhere := t.TempDir()
	if err := os.Chmod(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	uid := string(before.UID)
	wrong := map[string]uint32{
		"root": 0o777, "root/pods": 0o755, "root/claims": 0o1777, "state": 0o775, "state/pods": 0o711, "state/tmp": 0o755,
		"root/pods/" + uid: 0o711, "root/pods/" + uid + "/volumes": 0o755, "root/claims/default/plain": 0o711, "state/pods/" + uid: 0o755,
	}
	for name, mode := range wrong {
		if err := unix.Chmod(b.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	const owned = "root/claims/default"
	if err := os.Chown(b.path(owned), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	b.link(elsewhere, "root/pods/link")
	b.start()
	b.free("root/pods/link")
	after := b.waitReady("plain")
	if status(before, "main").ContainerID != status(after, "main").ContainerID || status(after, "main").RestartCount != 0 {
		t.Error("the container did not live on")
	}
	for _, found := range b.open() {
		t.Errorf("another user has %s", found)
	}
	var st unix.Stat_t
	if err := unix.Stat(b.path(owned), &st); err != nil || st.Uid != 0 || st.Gid != 0 {
		t.Errorf("%s is of %d:%d, %v", owned, st.Uid, st.Gid, err)
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("what a link leads to was changed: %v", err)
	}
	events, said := b.run("get", "events", "-A"), ""
	for line := range strings.Lines(b.daemonOutput()) {
		if strings.Contains(line, "DirectoriesClosed") {
			said += line
		}
	}
	if strings.Count(said, "\n") != 1 {
		t.Errorf("the log tells of it in these lines:\n%s", said)
	}
	for _, name := range []string{"root/pods", "root/claims", "state/pods", owned} {
		for where, text := range map[string]string{"the events": events, "the log": said} {
			if !strings.Contains(text, b.path(name)+" (") {
				t.Errorf("%s do not name %s:\n%s", where, name, text)
			}
		}
	}
}

// A local user cannot put files where a container takes them for its ConfigMap's, nor does a container see others' there.
func TestPlantedConfig(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	settings := func(data string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {" + data + "}\n"
	}
	b.apply("settings.yaml", settings("old: '1'"))
	b.apply("pod.yaml", shell("pod", forever, "volumes: [{name: v, configMap: {name: settings}}]")+"    volumeMounts: [{name: v, mountPath: /v}]\n")
	p := b.waitReady("pod")
	dir := b.matches("state/pods/" + string(p.UID) + "/filled/v")[0]
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o022 != 0 {
		t.Errorf("others may write to the volume: %v, %v", info.Mode(), err)
	}
	asNobody(t, func() {
		if err := os.WriteFile(filepath.Join(dir, "app.conf"), nil, 0o644); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a file is planted: %v", err)
		}
		if err := os.Mkdir(filepath.Join(dir, "zz"), 0o755); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a directory is planted: %v", err)
		}
	})
	b.apply("settings.yaml", settings("old: '2', app.conf: from-the-manifest"))
	b.eventually("the container reads what the manifest says", func() error {
		if out, err := b.inside(p, "cat /v/app.conf /v/old"); err != nil || out != "from-the-manifest2" {
			return fmt.Errorf("%q, %w", out, err)
		}
		return nil
	})
}
