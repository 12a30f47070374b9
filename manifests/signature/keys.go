// Package signature verifies detached signatures, of minisign and of ssh-keygen -Y sign, with the public keys that a box carries. It
// takes bytes and returns values: what it is given may be hostile, and who reads it bounds it.
package signature

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/ssh"
)

// MaxKeys is how many keys a file may hold.
const MaxKeys = 1000

// Keys are the public keys of those who may sign. The zero value holds none.
type Keys struct {
	minisign []minisign.PublicKey
	ssh      []sshKey
	// purpose is the namespace of ssh-keygen that they verify; empty for Namespace.
	purpose string
}

// For is the same keys, which verify signatures of ssh-keygen that were made for another namespace, and no others.
func (k Keys) For(namespace string) Keys {
	k.purpose = namespace
	return k
}

func (k Keys) namespace() string { return cmp.Or(k.purpose, Namespace) }

// sshKey is a key of OpenSSH with what its line says of it.
type sshKey struct {
	ssh.PublicKey
	// who is the line's list of principals; empty in a line of authorized_keys' form.
	who string
	// namespaces are patterns, one of which the signature's namespace must match; empty means that any will do.
	namespaces string
	// after and before bound when the key is good; zero where they do not.
	after, before time.Time
}

// ParseKeys reads public keys, one a line: minisign's (also whole files of them), those of OpenSSH as in ssh-keygen's allowed_signers
// (a list of principals, options, the key), and as in files with the suffix .pub. An empty line and one that begins with # say
// nothing. Whatever else there is is an error that names its line: a key that is left out by a slip would only show when it is needed.
func ParseKeys(text []byte) (Keys, error) {
	var k Keys
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		if err := k.add(line); err != nil {
			return Keys{}, fmt.Errorf("line %d: %w", n, err)
		}
		if len(k.minisign)+len(k.ssh) > MaxKeys {
			return Keys{}, fmt.Errorf("line %d: there are more than %d keys", n, MaxKeys)
		}
	}
	if len(k.minisign)+len(k.ssh) == 0 {
		return Keys{}, errors.New("it holds no public key; add one a line, of minisign (RW...) or of OpenSSH (alice@example.com ssh-ed25519 AAAA...)")
	}
	return k, nil
}

func (k *Keys) add(line string) error {
	if fields := strings.Fields(line); len(fields) == 1 {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return fmt.Errorf("cannot be read as a public key of minisign (RW... of 56 characters), nor as one of OpenSSH: %w", err)
		}
		k.minisign = append(k.minisign, key)
		return nil
	}
	key, err := parseSSH(line)
	if err != nil {
		return err
	}
	k.ssh = append(k.ssh, key)
	return nil
}

// keyTypes are the kinds of keys of OpenSSH that may sign; what else there is is out of use (DSA), or a certificate.
var keyTypes = map[string]bool{
	ssh.KeyAlgoED25519: true, ssh.KeyAlgoSKED25519: true, ssh.KeyAlgoRSA: true,
	ssh.KeyAlgoECDSA256: true, ssh.KeyAlgoECDSA384: true, ssh.KeyAlgoECDSA521: true, ssh.KeyAlgoSKECDSA256: true,
}

// parseSSH reads a line of allowed_signers (ssh-keygen(1)), or of a file with the suffix .pub.
func parseSSH(line string) (sshKey, error) {
	var k sshKey
	rest := line
	if !keyTypes[strings.Fields(line)[0]] {
		k.who, rest = firstField(line)
		if k.who == "" || rest == "" {
			return k, errors.New("there is no key behind the principals, as in alice@example.com ssh-ed25519 AAAA")
		}
	}
	key, _, options, more, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil || len(bytes.TrimSpace(more)) > 0 {
		return k, fmt.Errorf("cannot be read as a public key of OpenSSH: a line is like alice@example.com ssh-ed25519 AAAA... (%w)", err)
	}
	k.PublicKey = key
	if !keyTypes[key.Type()] {
		return k, fmt.Errorf("a key of the kind %s cannot sign; use ed25519", key.Type())
	}
	if err := strongEnough(key); err != nil {
		return k, err
	}
	for _, o := range options {
		if err := k.option(o); err != nil {
			return k, err
		}
	}
	return k, nil
}

// firstField cuts the first field off, which may be quoted.
func firstField(line string) (field, rest string) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		field, rest, _ = strings.Cut(quoted, `"`)
		return field, strings.TrimSpace(rest)
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// option takes an option of allowed_signers. One that is not known is an error, as with ssh-keygen: it may restrict the key.
func (k *sshKey) option(o string) (err error) {
	name, value, _ := strings.Cut(o, "=")
	value = strings.Trim(value, `"`)
	switch strings.ToLower(name) {
	case "namespaces":
		k.namespaces, err = value, checkPatterns(value)
	case "valid-after":
		k.after, err = parseTime(value)
	case "valid-before":
		k.before, err = parseTime(value)
	case "cert-authority":
		err = errors.New("certificates are not verified (cert-authority); name the keys themselves")
	default:
		err = fmt.Errorf("the option %q is none of namespaces, valid-after and valid-before", name)
	}
	return err
}

// parseTime reads a time of allowed_signers: YYYYMMDD or YYYYMMDDHHMM[SS], in the machine's zone, or with a Z behind it in UTC.
func parseTime(text string) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.ParseInLocation(form, digits, zone); err == nil && len(form) == len(digits) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time like 20270131, 202701311200 or 20270131120000Z", text)
}
