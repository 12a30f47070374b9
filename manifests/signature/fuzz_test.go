package signature

import (
	"testing"

	"github.com/hiddeco/sshsig"
)

// Whatever a file of keys holds: it is read or refused, and what was read verifies nothing that was not signed.
func FuzzParseKeys(f *testing.F) {
	a := newAuthor(f, 1)
	data := []byte("a: manifest\n")
	unsigned := newAuthor(f, 2).minisign(data)
	for _, seed := range []string{
		a.miniKey, "untrusted comment: x\n" + a.miniKey, "alice " + a.sshKey, a.sshKey + " comment", `"a b" namespaces="x,!y*",valid-after="20260101" ` + a.sshKey,
		"alice cert-authority " + a.sshKey, "# x\n\n", "alice \"", "\"", "a b c d", "a\tb\tc", "alice valid-before=20270101Z ssh-rsa AAAA",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKeys(text)
		if n := len(k.minisign) + len(k.ssh); (n == 0) != (err != nil) || n > MaxKeys {
			t.Errorf("%d keys, %v", n, err)
		}
		for _, key := range k.ssh {
			if !keyTypes[key.Type()] {
				t.Errorf("a key of the kind %s", key.Type())
			}
		}
		if _, err := k.Verify(data, unsigned, now); err == nil {
			t.Error("what nobody has signed is good")
		}
	})
}

// Whatever stands in a signature's place: only what means the same as one that was made is good.
func FuzzVerify(f *testing.F) {
	a := newAuthor(f, 1)
	data := []byte("a: manifest\n")
	k, err := ParseKeys([]byte(a.miniKey + "\nalice " + a.sshKey))
	if err != nil {
		f.Fatal(err)
	}
	good := [][]byte{a.minisign(data), a.prehashed(f, data), a.openssh(f, data, sshsig.HashSHA256, Namespace), a.openssh(f, data, sshsig.HashSHA512, Namespace)}
	for _, s := range good {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	f.Add([]byte(armor + "\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Add(newAuthor(f, 2).minisign(data))
	f.Fuzz(func(t *testing.T, signature []byte) {
		if _, err := k.Verify(data, signature, now); err != nil {
			return
		}
		for _, g := range good {
			if sameMeaning(g, signature) {
				return
			}
		}
		t.Errorf("this is good:\n%q", signature)
	})
}
