package signature

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
)

func (a author) minisign(data []byte) []byte {
	return minisign.SignWithComments(a.mini, data, "timestamp:1795719535", "of a test")
}

// prehashed is what minisign writes by default.
func (a author) prehashed(t testing.TB, data []byte) []byte {
	t.Helper()
	r := minisign.NewReader(bytes.NewReader(data))
	if _, err := r.Read(make([]byte, len(data)+1)); err != nil {
		t.Fatal(err)
	}
	return r.SignWithComments(a.mini, "timestamp:1795719535", "of a test")
}

func (a author) openssh(t testing.TB, data []byte, hash sshsig.HashAlgorithm, namespace string) []byte {
	t.Helper()
	s, err := sshsig.Sign(bytes.NewReader(data), a.ssh, hash, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return sshsig.Armor(s)
}

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func TestVerify(t *testing.T) {
	a, b := newAuthor(t, 1), newAuthor(t, 2)
	data := []byte("apiVersion: v1\n")
	all := a.miniKey + "\nalice " + a.sshKey
	legacy, prehashed := a.minisign(data), a.prehashed(t, data)
	ssh256, ssh512 := a.openssh(t, data, sshsig.HashSHA256, Namespace), a.openssh(t, data, sshsig.HashSHA512, Namespace)
	trusted := bytes.Replace(prehashed, []byte("trusted comment: timestamp"), []byte("trusted comment: Timestamp"), 1)
	lines := bytes.SplitAfter(prehashed, []byte("\n"))
	for name, c := range map[string]struct {
		keys      string
		signature []byte
		is        error
	}{
		"legacy":                     {all, legacy, nil},
		"prehashed":                  {all, prehashed, nil},
		"sha256":                     {all, ssh256, nil},
		"sha512":                     {all, ssh512, nil},
		"another untrusted comment":  {all, bytes.Replace(prehashed, []byte("untrusted comment: "), []byte("untrusted comment: x"), 1), nil},
		"lines of Windows":           {all, bytes.ReplaceAll(prehashed, []byte("\n"), []byte("\r\n")), nil},
		"a key in both forms":        {all + "\n" + a.sshKey, ssh256, nil},
		"one of two lines is good":   {"a valid-before=20010101 " + a.sshKey + "\nb " + a.sshKey, ssh256, nil},
		"within its time":            {"a valid-after=20260101,valid-before=20270101 " + a.sshKey, ssh256, nil},
		"for this namespace":         {`a namespaces="git,solopod" ` + a.sshKey, ssh256, nil},
		"by another's minisign":      {all, b.prehashed(t, data), ErrUnknownKey},
		"by another's ssh":           {all, b.openssh(t, data, sshsig.HashSHA512, Namespace), ErrUnknownKey},
		"of minisign, without a key": {"alice " + a.sshKey, legacy, ErrUnknownKey},
		"of ssh, without a key":      {a.miniKey, ssh512, ErrUnknownKey},
		"after its time":             {"a valid-before=20260101 " + a.sshKey, ssh256, ErrBarred},
		"before its time":            {"a valid-after=20270101 " + a.sshKey, ssh256, ErrBarred},
		"for another namespace":      {`a namespaces="git" ` + a.sshKey, ssh256, ErrBarred},
		"made for another namespace": {all, a.openssh(t, data, sshsig.HashSHA512, "file"), ErrPurpose},
		"of other content":           {all, a.minisign([]byte("apiVersion: v2\n")), ErrChanged},
		"of other content, hashed":   {all, a.prehashed(t, []byte("apiVersion: v2\n")), ErrChanged},
		"of other content, by ssh":   {all, a.openssh(t, []byte("apiVersion: v2\n"), sshsig.HashSHA512, Namespace), ErrChanged},
		"another trusted comment":    {all, trusted, ErrChanged},
		"a comment of another's": {all, bytes.Join([][]byte{lines[0], lines[1], lines[2],
			bytes.SplitAfter(b.prehashed(t, data), []byte("\n"))[3]}, nil), ErrChanged},
		"empty":              {all, nil, ErrMalformed},
		"a key":              {all, []byte(all), ErrMalformed},
		"half of minisign's": {all, prehashed[:len(prehashed)/2], ErrMalformed},
		"half of ssh's":      {all, ssh512[:len(ssh512)/2], ErrMalformed},
		"an empty armor":     {all, []byte(armor + "\n-----END SSH SIGNATURE-----\n"), ErrMalformed},
		"no keys":            {"", prehashed, ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			k := Keys{}
			if c.keys != "" {
				var err error
				if k, err = ParseKeys([]byte(c.keys)); err != nil {
					t.Fatal(err)
				}
			}
			signer, err := k.Verify(data, c.signature, now)
			if !errors.Is(err, c.is) {
				t.Errorf("%v, want %v", err, c.is)
			}
			if strings.Contains(signer, " key ") != (c.is == nil) {
				t.Errorf("signed by %q with %v", signer, err)
			}
		})
	}
}

// What is told of a signature that nobody has verified is short, and has no effect on a terminal.
func TestHostileText(t *testing.T) {
	a := newAuthor(t, 1)
	k, err := ParseKeys([]byte(a.sshKey))
	if err != nil {
		t.Fatal(err)
	}
	escape := strings.Repeat("\x1b[2J", 2000)
	named := a.openssh(t, []byte("x"), sshsig.HashSHA512, escape)
	s, err := sshsig.Unarmor(named)
	if err != nil {
		t.Fatal(err)
	}
	wire := bytes.Replace(s.Marshal(), []byte("ssh-ed25519"), []byte("ssh-\x1b[2J;-x"), 1)
	kind := pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Bytes: wire})
	for _, signature := range [][]byte{named, kind} {
		said := fmt.Sprint(k.Verify([]byte("x"), signature, now))
		if !strings.Contains(said, `\x1b[2J`) || strings.Contains(said, "\x1b") || len(said) > 700 {
			t.Errorf("%d bytes: %q", len(said), said)
		}
	}
}

// No byte of a signature, or of what is signed, can be another: but for what is not signed, an untrusted comment, the spelling of the
// armor and the line breaks.
func TestEveryByteCounts(t *testing.T) {
	a := newAuthor(t, 1)
	data := []byte("apiVersion: v1\nkind: Pod\n")
	k, err := ParseKeys([]byte(a.miniKey + "\nalice " + a.sshKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, signature := range map[string][]byte{
		"legacy": a.minisign(data), "prehashed": a.prehashed(t, data), "ssh": a.openssh(t, data, sshsig.HashSHA512, Namespace),
	} {
		for i := range data {
			other := bytes.Clone(data)
			other[i] ^= 1
			if _, err := k.Verify(other, signature, now); err == nil {
				t.Errorf("%s: byte %d of the file may be another", name, i)
			}
		}
		free := bytes.IndexByte(signature, '\n') // the first line
		for i := free + 1; i < len(signature); i++ {
			other := bytes.Clone(signature)
			other[i] ^= 1
			if _, err := k.Verify(data, other, now); err == nil && !sameMeaning(signature, other) {
				t.Errorf("%s: byte %d of the signature may be another:\n%s", name, i, other)
			}
		}
	}
}

// sameMeaning: both decode to the same bytes.
func sameMeaning(a, b []byte) bool {
	var x, y minisign.Signature
	if x.UnmarshalText(a) == nil && y.UnmarshalText(b) == nil {
		return x.Equal(y)
	}
	s, err := sshsig.Unarmor(a)
	u, err2 := sshsig.Unarmor(b)
	return err == nil && err2 == nil && bytes.Equal(s.Marshal(), u.Marshal())
}

// What the real tools sign is verified.
func TestTools(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yaml")
	data := []byte(strings.Repeat("a: manifest\n", 1000))
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	write(file, data)
	run("minisign", "-G", "-W", "-p", "m.pub", "-s", "m.key")
	keys := string(read(filepath.Join(dir, "m.pub")))
	commands := map[string][]string{
		"prehashed": {"minisign", "-S", "-s", "m.key", "-m", "web.yaml", "-x", "web.yaml.sig"},
		"legacy":    {"minisign", "-S", "-l", "-s", "m.key", "-m", "web.yaml", "-x", "web.yaml.sig", "-t", "with a comment", "-c", "another"},
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", kind, "-C", kind+"@example.com")
		keys += kind + "@example.com " + string(read(filepath.Join(dir, kind+".pub")))
		commands[kind] = []string{"ssh-keygen", "-q", "-Y", "sign", "-n", Namespace, "-f", kind, "web.yaml"}
	}
	commands["sha256"] = append([]string{"ssh-keygen", "-O", "hashalg=sha256"}, commands["ed25519"][1:]...)
	k, err := ParseKeys([]byte(keys))
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range commands {
		if err := os.Remove(file + ".sig"); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		run(command...)
		signature := read(file + ".sig")
		if len(signature) > MaxSize {
			t.Errorf("%s: a signature has %d bytes", name, len(signature))
		}
		if _, err := k.Verify(data, signature, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := k.Verify(append(data, '\n'), signature, time.Now()); !errors.Is(err, ErrChanged) {
			t.Errorf("%s of another file: %v", name, err)
		}
	}
	// A certificate's key does not sign for the one that it certifies.
	run("ssh-keygen", "-q", "-s", "ecdsa", "-I", "x", "-n", "x", "ed25519.pub")
	if _, err := ParseKeys(fmt.Appendf(nil, "alice %s", read(filepath.Join(dir, "ed25519-cert.pub")))); err == nil || !strings.Contains(err.Error(), "-cert-v01@openssh.com cannot sign") {
		t.Errorf("a certificate as a key: %v", err)
	}
}

// Keys verify for one purpose at a time, and a key's line may bound it to one.
func TestFor(t *testing.T) {
	a, data := newAuthor(t, 1), []byte("a: manifest\n")
	for name, c := range map[string]struct {
		line, signed, verified string
		want                   error
	}{
		"a manifest":           {"alice ", Namespace, "", nil},
		"a bundle":             {"alice ", BundleNamespace, BundleNamespace, nil},
		"a bundle's as one":    {"alice ", BundleNamespace, "", ErrPurpose},
		"a manifest's as one":  {"alice ", Namespace, BundleNamespace, ErrPurpose},
		"a key for bundles":    {`alice namespaces="solopod-bundle" `, BundleNamespace, BundleNamespace, nil},
		"a key for manifests":  {`alice namespaces="solopod" `, BundleNamespace, BundleNamespace, ErrBarred},
		"a key that is barred": {`alice namespaces="solopod-bundle" `, Namespace, "", ErrBarred},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeys([]byte(c.line + a.sshKey))
			if err != nil {
				t.Fatal(err)
			}
			if c.verified != "" {
				k = k.For(c.verified)
			}
			if _, err := k.Verify(data, a.openssh(t, data, sshsig.HashSHA512, c.signed), now); !errors.Is(err, c.want) {
				t.Errorf("says %v", err)
			}
		})
	}
}
