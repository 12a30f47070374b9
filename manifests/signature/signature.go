package signature

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

const (
	// Namespace is what signatures of ssh-keygen are made for (-n): one that was made for another purpose is none of a manifest.
	Namespace = "solopod"
	// BundleNamespace is that of signatures of bundles.
	BundleNamespace = "solopod-bundle"
	// MaxSize is the longest signature, in bytes. One of RSA with 16384 bits has some 6000.
	MaxSize = 16 << 10
)

// What is wrong with a signature.
var (
	// ErrMalformed: it is no signature.
	ErrMalformed = errors.New("is no signature of minisign or of ssh-keygen -Y sign")
	// ErrUnknownKey: it is by a key that is not among those that may sign.
	ErrUnknownKey = errors.New("is by a key that this box does not know")
	// ErrBarred: it is by a key whose line in the file of keys does not let it sign this, or not now.
	ErrBarred = errors.New("is by a key that may not sign this")
	// ErrPurpose: it was made for something else.
	ErrPurpose = errors.New("was made for another purpose")
	// ErrChanged: it does not fit what was signed.
	ErrChanged = errors.New("does not fit: the file was changed after it was signed, or the signature is another file's")
)

// The first line of each kind of signature.
const (
	armor   = "-----BEGIN SSH SIGNATURE-----"
	comment = "untrusted comment: "
)

// Verify verifies that the signature is one of data by one of the keys, and names the signer: the key, and whose it is where its line
// says so. The error is one of this package's; its text goes on behind the name of the signature's file.
func (k Keys) Verify(data, signature []byte, now time.Time) (signer string, err error) {
	switch {
	case bytes.HasPrefix(signature, []byte(armor)):
		return k.verifySSH(data, signature, now)
	case bytes.HasPrefix(signature, []byte(comment)):
		return k.verifyMinisign(data, signature)
	}
	return "", ErrMalformed
}

// verifyMinisign takes both forms, of the content itself and of its hash. The trusted comment is signed as well.
func (k Keys) verifyMinisign(data, signature []byte) (signer string, err error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w (%s)", ErrMalformed, brief(err.Error()))
	}
	known := false
	for _, key := range k.minisign { // several may have the same id
		if key.ID() != s.KeyID {
			continue
		}
		if known = true; minisign.Verify(key, data, signature) {
			return fmt.Sprintf("minisign key %X", s.KeyID), nil
		}
	}
	if known {
		return "", fmt.Errorf("%w (minisign key %X)", ErrChanged, s.KeyID)
	}
	return "", fmt.Errorf("%w (minisign key %X)", ErrUnknownKey, s.KeyID)
}

func (k Keys) verifySSH(data, signature []byte, now time.Time) (signer string, err error) {
	s, err := sshsig.Unarmor(signature)
	if err != nil {
		return "", fmt.Errorf("%w (%s)", ErrMalformed, brief(err.Error()))
	}
	if s.Namespace != k.namespace() {
		return "", fmt.Errorf("%w, the namespace %s: sign with -n %s", ErrPurpose, brief(s.Namespace), k.namespace())
	}
	name, wire := ssh.FingerprintSHA256(s.PublicKey), s.PublicKey.Marshal()
	err = fmt.Errorf("%w (ssh key %s)", ErrUnknownKey, name)
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), wire) {
			continue
		}
		if why := key.bars(k.namespace(), now); why != "" {
			err = fmt.Errorf("%w: ssh key %s %s", ErrBarred, name, why)
			continue
		}
		if sshsig.Verify(bytes.NewReader(data), s, key.PublicKey, s.HashAlgorithm, k.namespace()) == nil {
			return strings.TrimSpace(key.who + " ssh key " + name), nil
		}
		return "", fmt.Errorf("%w (ssh key %s)", ErrChanged, name)
	}
	return "", err
}

// brief shows what may be from the signature itself, before anything of it was verified.
func brief(text string) string {
	const most = 100 // bytes
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strconv.Quote(text)
}

// bars says why a key may not sign for a namespace, or not now; empty when it may.
func (k sshKey) bars(namespace string, now time.Time) string {
	switch {
	case !matches(k.namespaces, namespace):
		return fmt.Sprintf("is for the namespaces %s, not for %s", k.namespaces, namespace)
	case !k.after.IsZero() && now.Before(k.after):
		return "is not valid before " + k.after.Format(time.RFC3339)
	case !k.before.IsZero() && !now.Before(k.before):
		return "was valid until " + k.before.Format(time.RFC3339)
	}
	return ""
}

// strongEnough refuses keys of RSA that can be broken, as OpenSSH does.
func strongEnough(key ssh.PublicKey) error {
	const least = 2048 // bits
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < least {
		return fmt.Errorf("a key of RSA with %d bits is too weak; use ed25519", r.N.BitLen())
	}
	return nil
}

// matches says whether a name is in a list of patterns as ssh_config(5) has them: with * and ?, and ! for those that are not meant.
// An empty list means all.
func matches(patterns, name string) bool {
	found := patterns == ""
	for p := range strings.SplitSeq(patterns, ",") {
		p, not := strings.CutPrefix(p, "!")
		if ok, err := path.Match(p, name); err != nil || !ok {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// checkPatterns refuses what means nothing in a list of patterns and would here.
func checkPatterns(patterns string) error {
	if patterns == "" || strings.ContainsAny(patterns, `[\/`) {
		return fmt.Errorf("namespaces=%q is no list of names with a comma between them", patterns)
	}
	return nil
}
