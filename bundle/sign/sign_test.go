package sign

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/manifests/signature"
)

const namespace = "solopod-bundle"

func key(t *testing.T, args ...string) (private []byte, at string) {
	t.Helper()
	at = filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", append([]string{"-q", "-f", at, "-C", "a test"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return read(t, at), at
}

func read(t *testing.T, at string) []byte {
	t.Helper()
	text, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var errAsked = errors.New("asked")

// ssh-keygen takes what is made with each kind of its keys, and so do we.
func TestSign(t *testing.T) {
	for name, args := range map[string][]string{
		"ed25519": {"-t", "ed25519", "-N", ""}, "rsa": {"-t", "rsa", "-b", "2048", "-N", ""}, "ecdsa": {"-t", "ecdsa", "-N", ""},
		"old form": {"-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"}, "with a passphrase": {"-t", "ed25519", "-N", "a word"},
	} {
		t.Run(name, func(t *testing.T) {
			private, at := key(t, args...)
			word := func() ([]byte, error) { return nil, errAsked }
			if name == "with a passphrase" {
				if _, err := Key(private, word); !errors.Is(err, errAsked) {
					t.Errorf("says %v", err)
				}
				if _, err := Key(private, func() ([]byte, error) { return []byte("another"), nil }); err == nil || !strings.Contains(err.Error(), "with this passphrase") {
					t.Errorf("says %v", err)
				}
				word = func() ([]byte, error) { return []byte("a word"), nil }
			}
			signer, err := Key(private, word)
			if err != nil {
				t.Fatal(err)
			}
			data := []byte("what is signed")
			text, err := Sign(signer, data, namespace)
			if err != nil {
				t.Fatal(err)
			}
			public := read(t, at+".pub")
			keys, err := signature.ParseKeys(public)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := keys.For(namespace).Verify(data, text, time.Now()); err != nil {
				t.Error(err)
			}
			made, allowed := at+".sig", at+".allowed"
			if err := errors.Join(os.WriteFile(made, text, 0o600), os.WriteFile(allowed, append([]byte("alice "), public...), 0o600)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-n", namespace, "-f", allowed, "-I", "alice", "-s", made)
			cmd.Stdin = bytes.NewReader(data)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestKeyRefuses(t *testing.T) {
	_, at := key(t, "-t", "ed25519", "-N", "")
	for name, text := range map[string][]byte{"nothing": nil, "a public key": read(t, at+".pub"), "half": read(t, at)[:100]} {
		if _, err := Key(text, func() ([]byte, error) { return nil, errAsked }); err == nil || !strings.Contains(err.Error(), "it is no private key of OpenSSH") {
			t.Errorf("%s: says %v", name, err)
		}
	}
}
