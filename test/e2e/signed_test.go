package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

// signer signs files with one of the tools that people have.
type signer struct {
	public string                          // a line of the file of keys
	sign   func(file string) (into string) // the signature's file, beside the other
}

// tool runs a program that signs or makes keys.
func (b *box) tool(args ...string) {
	b.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (b *box) readFile(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// minisigner is one of minisign; more are options of its -S.
func (b *box) minisigner(name string, more ...string) signer {
	b.t.Helper()
	key := b.path(name + ".key")
	b.tool("minisign", "-G", "-W", "-p", b.path(name+".pub"), "-s", key)
	return signer{b.readFile(name + ".pub"), func(file string) string {
		b.tool(append([]string{"minisign", "-S", "-s", key, "-m", file}, more...)...)
		return file + ".minisig"
	}}
}

// sshSigner is one of ssh-keygen.
func (b *box) sshSigner(name, kind string) signer {
	b.t.Helper()
	key := b.path(name)
	b.tool("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key, "-C", "of a test")
	return signer{name + "@example.com " + b.readFile(name+".pub"), func(file string) string {
		b.tool("ssh-keygen", "-q", "-Y", "sign", "-n", "solopod", "-f", key, file)
		return file + ".sig"
	}}
}

// trust makes the file of keys.
func (b *box) trust(signers ...signer) {
	b.t.Helper()
	text := "# those who may sign\n"
	for _, s := range signers {
		text += strings.TrimSpace(s.public) + "\n"
	}
	b.writeFile("keys.new", text)
	if err := os.Rename(b.path("keys.new"), b.path("keys")); err != nil {
		b.t.Fatal(err)
	}
}

// signed makes a file and its signature apart from the manifests, and returns the paths of both.
func (b *box) signed(s signer, file, manifest string) (path, signature string) {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.dir, "sign")
	if err != nil {
		b.t.Fatal(err)
	}
	path = filepath.Join(dir, file)
	if err := os.WriteFile(path, []byte(manifest), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path, s.sign(path)
}

// moveIn moves files into the manifests directory, one after the other.
func (b *box) moveIn(files ...string) {
	b.t.Helper()
	for _, f := range files {
		if err := os.Rename(f, b.path("manifests/"+filepath.Base(f))); err != nil {
			b.t.Fatal(err)
		}
	}
}

// applySigned moves a file and its signature in.
func (b *box) applySigned(s signer, file, manifest string) {
	b.t.Helper()
	path, signature := b.signed(s, file, manifest)
	b.moveIn(path, signature)
}

// refused waits until a file is refused, with that in the reason.
func (b *box) refused(file, part string) {
	b.t.Helper()
	b.eventually(file+" is refused: "+part, func() error { return errors.Join(b.fileIs(file, "Invalid"), b.problemIs(file, part)) })
}

// accepted waits until a file is used.
func (b *box) accepted(file string) {
	b.t.Helper()
	b.eventually(file+" is accepted", func() error { return b.fileIs(file, "Active") })
}

// same fails when the pod's container is another than before.
func (b *box) same(before *v1.Pod, when string) {
	b.t.Helper()
	if now := b.waitReady(before.Name); status(now, "main").ContainerID != status(before, "main").ContainerID {
		b.t.Errorf("%s the container was replaced", when)
	}
}

// signedBox is a box that demands signatures. more is added to its configuration.
func signedBox(t *testing.T, more string) *box {
	t.Helper()
	b := prepareBox(t, embedded)
	b.writeFile("config.yaml", fmt.Sprintf("manifestKeyFile: %s\n%s", b.path("keys"), more))
	b.flags = append(b.flags, "--config", b.path("config.yaml"))
	b.link(imageArchive, "images/box.tar")
	return b
}

// withVersion gives a manifest the annotation.
func withVersion(version int, manifest string) string {
	return strings.Replace(manifest, "metadata:\n", fmt.Sprintf("metadata:\n  annotations: {solopod.io/version: %q}\n", fmt.Sprint(version)), 1)
}

// Whoever has signed, by whatever tool: only what fits is used, and what runs goes on.
func TestSigned(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "")
	signers := map[string]signer{
		"minisign": b.minisigner("mini"), "legacy": b.minisigner("old", "-l"),
		"ed25519": b.sshSigner("ed", "ed25519"), "ecdsa": b.sshSigner("ec", "ecdsa"), "rsa": b.sshSigner("rsa", "rsa"),
	}
	stranger := b.minisigner("stranger")
	b.trust(signers["minisign"], signers["legacy"], signers["ed25519"], signers["ecdsa"], signers["rsa"])
	b.start()
	pods := map[string]*v1.Pod{}
	for kind, s := range signers {
		b.applySigned(s, kind+".yaml", shell(kind, forever, ""))
		pods[kind] = b.waitReady(kind)
	}
	changed := func(kind string) string { return shell(kind, "sleep 1; "+forever, "") }
	for kind, s := range signers {
		// A byte more, and nothing else; then a good one.
		path, signature := b.signed(s, kind+".yaml", changed(kind))
		if err := os.WriteFile(path, []byte(changed(kind)+" "), 0o644); err != nil {
			t.Fatal(err)
		}
		b.moveIn(path, signature)
		b.refused(kind+".yaml", "the file was changed after it was signed")
		b.same(pods[kind], "with a changed file")
		b.applySigned(s, kind+".yaml", shell(kind, forever, ""))
		b.accepted(kind + ".yaml")
		b.same(pods[kind], "with the good file back")
	}
	if err := b.eventSays("LastGoodVersionKept"); err != nil {
		t.Error(err)
	}

	b.applySigned(stranger, "minisign.yaml", changed("minisign"))
	b.refused("minisign.yaml", "minisign.yaml.minisig is by a key that this box does not know (minisign key ")
	// The signature of another file is none, whatever its name.
	path, _ := b.signed(signers["minisign"], "minisign.yaml", changed("minisign"))
	_, other := b.signed(signers["minisign"], "minisign.yaml", shell("other", forever, ""))
	b.moveIn(path, other)
	b.refused("minisign.yaml", "the signature is another file's")
	// Nor is one for another purpose.
	path, _ = b.signed(signers["ed25519"], "ed25519.yaml", changed("ed25519"))
	os.Remove(path + ".sig")
	b.tool("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", b.path("ed"), path)
	b.moveIn(path, path+".sig")
	b.refused("ed25519.yaml", `was made for another purpose, the namespace "file": sign with -n solopod`)
	// Without one.
	b.delete("rsa.yaml.sig")
	b.refused("rsa.yaml", `is not signed: there is no rsa.yaml.sig and no rsa.yaml.minisig; sign it with "minisign -Sm rsa.yaml"`)
	b.apply("unsigned.yaml", shell("unsigned", forever, ""))
	b.refused("unsigned.yaml", "is not signed")
	for kind, p := range pods {
		b.same(p, "with a bad "+kind+".yaml")
	}
	b.crash()
	b.start()
	for kind, p := range pods {
		b.same(p, "after a crash, with a bad "+kind+".yaml")
	}
	b.refused("rsa.yaml", "is not signed")
	if p := b.pod(v1.NamespaceDefault, "unsigned"); p != nil {
		t.Error("an unsigned file was used")
	}
	out, err := b.try("check", "--keys", b.path("keys"), b.path("manifests"))
	for _, want := range []string{"manifests/rsa.yaml: is not signed", "manifests/minisign.yaml: is not signed as it must be", "manifests/ed25519.yaml: is not signed as it must be"} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q", want)
		}
	}
	if err == nil || strings.Contains(out, "ecdsa") || strings.Contains(out, "legacy") {
		t.Errorf("check says %v,\n%s", err, out)
	}
}

// File and signature come one after the other, in any order, and nothing is told of the time between.
func TestSignedPairs(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "")
	s := b.minisigner("mini")
	b.trust(s)
	b.start()
	file := func(round int) string { return shell("pair", "echo round "+fmt.Sprint(round)+"; "+forever, "") }
	runs := func(round int) {
		t.Helper()
		b.waitPod("pair", "of the round", func(p *v1.Pod) bool {
			return isReady(p) && strings.Contains(p.Spec.Containers[0].Args[0], "round "+fmt.Sprint(round)+";")
		})
	}
	for round, between := range []time.Duration{0, 0, 500 * time.Millisecond, 500 * time.Millisecond} {
		path, signature := b.signed(s, "pair.yaml", file(round))
		pair := []string{path, signature}
		if round%2 == 1 {
			pair = []string{signature, path}
		}
		b.moveIn(pair[0])
		<-time.After(between)
		b.moveIn(pair[1])
		runs(round)
	}
	// In place, and by directories that are swapped behind links.
	path, signature := b.signed(s, "pair.yaml", file(4))
	for from, to := range map[string]string{path: "manifests/pair.yaml", signature: "manifests/pair.yaml.minisig"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		b.writeFile(to, string(text))
	}
	runs(4)
	for round := 5; round < 8; round++ {
		path, _ := b.signed(s, "pair.yaml", file(round))
		b.link(filepath.Dir(path), "manifests/..new")
		if err := os.Rename(b.path("manifests/..new"), b.path("manifests/..data")); err != nil {
			t.Fatal(err)
		}
		if round == 5 {
			for _, name := range []string{"pair.yaml", "pair.yaml.minisig"} {
				b.link("..data/"+name, "manifests/.link")
				if err := os.Rename(b.path("manifests/.link"), b.path("manifests/"+name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		runs(round)
	}
	if out := b.run("get", "events"); strings.Contains(out, "ManifestInvalid") {
		t.Errorf("something was told of the time between:\n%s", out)
	}
}

// Whatever stands in a signature's place, it is told, nothing waits for it, and other files are not held up.
func TestHostileSignatures(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "")
	s := b.minisigner("mini")
	b.trust(s)
	for i := range 5000 {
		b.writeFile(fmt.Sprintf("manifests/none%d.yaml.sig", i), "of no file")
	}
	b.start()
	for name, c := range map[string]struct {
		put  func(path string) error
		says string
	}{
		"fifo":      {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "a FIFO"},
		"device":    {func(path string) error { return os.Symlink("/dev/zero", path) }, "a character device"},
		"directory": {func(path string) error { return os.Mkdir(path, 0o755) }, "a directory"},
		"huge":      {func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) }, "at most 16384 are taken"},
		"loop":      {func(path string) error { return os.Symlink(filepath.Base(path), path) }, "loop.yaml.sig cannot be read"},
		"nowhere":   {func(path string) error { return os.Symlink("/nowhere", path) }, "is not signed: there is no"},
		"empty":     {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "is no signature of minisign or of ssh-keygen"},
		"itself":    {func(path string) error { return os.Symlink("itself.yaml", path) }, "is no signature of minisign or of ssh-keygen"},
		"garbage": {func(path string) error {
			return os.WriteFile(path, []byte("-----BEGIN SSH SIGNATURE-----\nAAAA\n"), 0o600)
		}, "is no signature of minisign or of ssh-keygen"},
	} {
		if err := c.put(b.path("manifests/" + name + ".yaml.sig")); err != nil {
			t.Fatal(err)
		}
		b.apply(name+".yaml", shell(name, forever, ""))
		b.refused(name+".yaml", c.says)
	}
	b.applySigned(s, "good.yaml", shell("good", forever, ""))
	b.waitReady("good")
	// One that is linked from elsewhere is as good as another.
	path, signature := b.signed(s, "linked.yaml", shell("linked", forever, ""))
	b.link(signature, "manifests/linked.yaml.minisig")
	b.moveIn(path)
	linked := b.waitReady("linked")
	if err := os.Remove(signature); err != nil {
		t.Fatal(err)
	}
	b.refused("linked.yaml", "is not signed")
	b.same(linked, "without the signature that the link led to")
	var list v1.PodList
	if err := json.Unmarshal([]byte(b.mustGet("/pods")), &list); err != nil || len(list.Items) != 2 {
		t.Errorf("%d pods run, %v", len(list.Items), err)
	}
	b.endsPromptly()
}

// Keys come and go while Solopod runs; what runs goes on.
func TestKeysOfSigners(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "")
	alice, bob := b.sshSigner("alice", "ed25519"), b.minisigner("bob")
	b.start()
	b.eventually("the lack of keys is told", func() error { return b.directoryError("create it, with a public key on each line") })
	b.applySigned(alice, "a.yaml", shell("a", forever, ""))
	b.refused("a.yaml", "cannot be verified: the keys in "+b.path("keys"))
	b.trust(alice)
	b.eventually("the keys are told", func() error { return b.directoryError("") })
	a := b.waitReady("a")
	b.applySigned(bob, "b.yaml", shell("b", forever, ""))
	b.refused("b.yaml", "a key that this box does not know")
	b.trust(alice, bob)
	b.waitReady("b")
	b.trust(bob)
	b.refused("a.yaml", "a key that this box does not know (ssh key SHA256:")
	b.same(a, "without its signer's key")
	for says, text := range map[string]string{
		"holds no public key":            "# nobody\n",
		"line 2: cannot be read":         alice.public + "RWQ\n",
		"the option \"what\" is none of": "alice what=1 " + strings.TrimPrefix(alice.public, "alice@example.com "),
		"certificates are not verified":  "alice cert-authority " + strings.TrimPrefix(alice.public, "alice@example.com "),
		`"soon" is no time like`:         "alice valid-before=\"soon\" " + strings.TrimPrefix(alice.public, "alice@example.com "),
		"line 1: cannot be read":         "\x00",
	} {
		b.writeFile("keys", text)
		b.eventually("the file of keys is refused: "+says, func() error { return b.directoryError(says) })
	}
	if err := errors.Join(os.Remove(b.path("keys")), syscall.Mkfifo(b.path("keys"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.eventually("a FIFO in the place of the keys is refused", func() error { return b.directoryError("not a regular file but a FIFO") })
	b.trust(alice)
	b.accepted("a.yaml")
	for says, options := range map[string]string{
		"is for the namespaces git,!solopod": `namespaces="git,!solopod"`, "was valid until 2001-01-31T00:00:00Z": `valid-before="20010131Z"`,
		"is not valid before 2999-": `valid-after="29990131"`,
	} {
		b.trust(signer{public: "alice " + options + " " + strings.TrimPrefix(alice.public, "alice@example.com ")})
		b.refused("a.yaml", says)
		b.trust(signer{public: `"alice,bob" namespaces="*pod",valid-before=29990131 ` + strings.TrimPrefix(alice.public, "alice@example.com ")})
		b.accepted("a.yaml")
	}
	if err := os.Chmod(b.path("keys"), 0o666); err != nil {
		t.Fatal(err)
	}
	b.eventually("keys that others can write are refused", func() error { return b.directoryError("chmod o-w " + b.path("keys")) })
	if out, err := b.try("check", "--keys", b.path("keys"), b.path("manifests")); err == nil || !strings.Contains(out, "chmod o-w") {
		t.Errorf("check says %q, %v", out, err)
	}
	b.same(a, "with all that")
}

// A file that is older than one that the box has had is not used, over crashes and under whatever name.
func TestReplayedManifests(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "manifestVersions: required\n")
	s := b.minisigner("mini")
	b.trust(s)
	b.start()
	text := func(version int, more string) string {
		return withVersion(version, shell("replay", "echo version "+fmt.Sprint(version)+more+"; "+forever, ""))
	}
	runs := func(version int) *v1.Pod {
		t.Helper()
		return b.waitPod("replay", fmt.Sprintf("of version %d", version), func(p *v1.Pod) bool {
			return isReady(p) && strings.Contains(p.Spec.Containers[0].Args[0], fmt.Sprintf("version %d;", version))
		})
	}
	b.applySigned(s, "web.yaml", shell("replay", forever, ""))
	b.refused("web.yaml", "has no version, and manifestVersions is required")
	b.applySigned(s, "web.yaml", text(3, ""))
	runs(3)
	b.applySigned(s, "web.yaml", text(5, ""))
	before := runs(5)
	replayed := func(when string) {
		t.Helper()
		b.applySigned(s, "web.yaml", text(3, ""))
		b.refused("web.yaml", "is older: it has version 3, and this box has had version 5 of pod/default/replay")
		b.same(before, when)
	}
	replayed("with an older file")
	b.crash()
	b.start()
	b.refused("web.yaml", "is older")
	b.same(before, "after a crash, with an older file")
	b.applySigned(s, "web.yaml", text(5, ""))
	b.accepted("web.yaml")
	b.crash()
	replayed2, signature := b.signed(s, "web.yaml", text(3, ""))
	b.moveIn(replayed2, signature) // while the daemon is away
	b.start()
	b.refused("web.yaml", "is older")
	b.same(before, "with a file that became older while the daemon was away")
	b.applySigned(s, "web.yaml", text(5, " otherwise"))
	b.refused("web.yaml", "has version 5, of which this box has had another content")
	b.same(before, "with two contents of one version")
	// Under another name, and when the pod has gone.
	b.delete("web.yaml")
	b.waitGone("replay")
	b.applySigned(s, "other.yaml", text(3, ""))
	b.refused("other.yaml", "is older")
	b.applySigned(s, "last.yaml", text(5, ""))
	runs(5)
	b.delete("other.yaml")
	// An object that stands for no pod for now has its version all the same.
	b.applySigned(s, "last.yaml", deployment(6, 1))
	b.waitReady("many-0")
	b.applySigned(s, "last.yaml", deployment(7, 0))
	b.waitGone("many-0")
	b.applySigned(s, "last.yaml", deployment(6, 1))
	b.refused("last.yaml", "is older: it has version 6, and this box has had version 7 of deployment/default/many")
	b.applySigned(s, "last.yaml", deployment(8, 1))
	b.waitReady("many-0")
	// What cannot be noted is not used, and is as soon as it can.
	record := b.path("root/manifest-versions.json")
	if err := errors.Join(os.Remove(record), os.Mkdir(record, 0o700)); err != nil {
		t.Fatal(err)
	}
	b.applySigned(s, "late.yaml", withVersion(1, shell("late", forever, "")))
	b.eventually("that the version cannot be noted is told", func() error { return b.problemIs("late.yaml", "cannot note the version in "+record) })
	if p := b.pod(v1.NamespaceDefault, "late"); p != nil {
		t.Error("the pod runs before its version is noted")
	}
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	b.waitReady("late")
	if text := b.readFile("root/manifest-versions.json"); !strings.Contains(text, "pod/default/late") || !strings.Contains(text, "deployment/default/many") {
		t.Errorf("the record holds %s", text)
	}
	// A record that is damaged is set aside.
	b.crash()
	b.writeFile("root/manifest-versions.json", "{")
	b.start()
	if err := b.eventSays("manifest-versions.json.damaged"); err != nil {
		t.Error(err)
	}
}

// A version that was seen for a moment, before a kill, has been: the one before is not taken any more.
func TestReplayAfterKills(t *testing.T) {
	t.Parallel()
	b := signedBox(t, "")
	s := b.minisigner("mini")
	b.trust(s)
	b.start()
	text := func(version int) string {
		return withVersion(version, shell("replay", "echo version "+fmt.Sprint(version)+"; "+forever, ""))
	}
	is := func(version int) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool {
			return strings.Contains(p.Spec.Containers[0].Args[0], fmt.Sprintf("version %d;", version))
		}
	}
	for version := 1; version <= 5; version++ {
		b.applySigned(s, "web.yaml", text(version))
		b.waitPod("replay", fmt.Sprintf("seen in version %d", version), is(version))
		b.crash()
		if version > 1 {
			b.applySigned(s, "web.yaml", text(version-1))
		}
		b.start()
		if version == 1 {
			continue
		}
		b.refused("web.yaml", fmt.Sprintf("is older: it has version %d, and this box has had version %d", version-1, version))
		b.waitReady("replay") // in either version: the kill may have come before the pod's own record
	}
}

// deployment is one of so many pods.
func deployment(version, replicas int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: many
  annotations: {solopod.io/version: "%d"}
spec:
  replicas: %d
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 2
      containers:
      - {name: main, image: "solopod.example/box:1", command: [sh, -c, %q]}
`, version, replicas, forever)
}
