package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A bundle is made, signed and verified with the tools that people have, without a daemon.
func TestBundleFile(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("web.yaml", shell("web", forever, ""))
	file, again := b.path("web-1.2.0.tar.zst"), b.path("again.tar.zst")
	for _, at := range []string{file, again} {
		b.run("bundle", "create", "-f", b.path("web.yaml"), "--images", imageArchive, "--name", "web", "--version", "1.2.0", "-o", at)
	}
	if b.readFile("web-1.2.0.tar.zst") != b.readFile("again.tar.zst") {
		t.Error("the same manifests and archives made other bytes")
	}
	alice, mini, mallory := b.sshSigner("alice", "ed25519"), b.minisigner("mini"), b.sshSigner("mallory", "ed25519")
	for name, s := range map[string]signer{"alice": alice, "mini": mini, "mallory": mallory} {
		b.writeFile(name+".keys", s.public)
	}
	verify := func(at, keys string) (string, error) {
		return b.try("bundle", "verify", at, "--key", b.path(keys+".keys"))
	}
	if out, err := verify(file, "alice"); err == nil || !strings.Contains(out, "it is not signed") {
		t.Errorf("%v: %s", err, out)
	}
	b.run("bundle", "sign", file, "--key", b.path("alice"))

	// Another tool signs what is signed, and verifies what was.
	signed := b.run("bundle", "inspect", "--signed", file)
	b.writeFile("signed", signed)
	b.run("bundle", "sign", file, "--signature", mini.sign(b.path("signed")))
	for _, name := range []string{"alice", "mini"} {
		if out, err := verify(file, name); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if out, err := verify(file, "mallory"); err == nil || !strings.Contains(out, "a key that this box does not know") {
		t.Errorf("%v: %s", err, out)
	}
	b.tool("ssh-keygen", "-q", "-Y", "sign", "-n", "solopod-bundle", "-f", b.path("alice"), b.path("signed"))
	check := exec.Command("ssh-keygen", "-Y", "verify", "-n", "solopod-bundle", "-f", b.path("alice.keys"), "-I", "alice@example.com", "-s", b.path("signed.sig"))
	check.Stdin = strings.NewReader(signed)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	var found struct {
		Name, Version, Digest string
		Signatures            int
		Images                []struct {
			Name      string
			Platforms []string
		}
	}
	if err := json.Unmarshal([]byte(b.run("bundle", "inspect", file, "-o", "json")), &found); err != nil {
		t.Fatal(err)
	}
	if found.Name != "web" || found.Version != "1.2.0" || found.Signatures != 2 || len(found.Images) != 1 || found.Images[0].Name != "solopod.example/box:1" || len(found.Images[0].Platforms) != 1 {
		t.Errorf("%+v", found)
	}
	b.damaged(file, verify)
}

// damaged flips bits here and there, and cuts the file off: it is refused, or is still the same bundle.
func (b *box) damaged(file string, verify func(at, keys string) (string, error)) {
	b.t.Helper()
	good, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	const pieces = 24
	for i := range pieces {
		at := len(good) / pieces * i
		for name, data := range map[string][]byte{"flipped": bytes.Clone(good), "cut": good[:at]} {
			if name == "flipped" {
				data[at] ^= 0x10
			}
			if err := os.WriteFile(b.path("damaged.tar.zst"), data, 0o600); err != nil {
				b.t.Fatal(err)
			}
			if out, err := verify(b.path("damaged.tar.zst"), "alice"); err == nil || !strings.HasPrefix(out, "error: "+b.path("damaged.tar.zst")) {
				b.t.Errorf("%s at %d of %d: %v: %s", name, at, len(good), err, out)
			}
		}
	}
}

// What a daemon would not take does not become a bundle.
func TestBundleOfBadManifests(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.writeFile("web.yaml", strings.Replace(shell("web", forever, ""), "containers:", "containerz:", 1))
	out, err := b.try("bundle", "create", "-f", b.path("web.yaml"), "--images", imageArchive, "--name", "web", "--version", "1", "-o", b.path("web.tar"))
	if err == nil || !strings.Contains(out, "web.yaml:") || !strings.Contains(out, "containerz") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(b.path("web.tar")); err == nil {
		t.Error("it was made all the same")
	}
	b.writeFile("web.yaml", strings.Replace(shell("web", forever, ""), "solopod.example/box:1", "solopod.example/none:1", 1))
	if out, err := b.try("bundle", "create", "-f", b.path("web.yaml"), "--images", imageArchive, "--name", "web", "--version", "1", "-o", b.path("web.tar")); err == nil || !strings.Contains(out, "no archive has solopod.example/none:1") {
		t.Errorf("%v: %s", err, out)
	}
}
