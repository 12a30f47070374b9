// Package seal hides the values of Secrets in what containerd keeps of a container.
//
// containerd writes a container's runtime spec to its database, environment and arguments included, and a database's freed pages keep
// what once stood in them. So the process in that spec has neither: one entry of its environment holds them, encrypted with a key that
// lies in memory (Store). The OCI runtime is called through solopod-unseal, which gives it the process as it is meant, by a file
// that is in no directory.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/solopod/solopod/runner/durable"
)

// Process is what a container's process gets.
type Process struct {
	Env  []string `json:"env"`
	Args []string `json:"args"`
}

// entry is the name of the variable that holds a sealed Process.
const entry = "SOLOPOD_SEALED="

// purpose keeps other uses of a key apart from this one.
var purpose = []byte("solopod process 1")

// ErrNoKey says that the key with which a process was sealed is gone, or is another one by now.
var ErrNoKey = errors.New("the key to the values of Secrets is gone with the state directory")

// Key seals processes and opens them.
type Key struct{ aead cipher.AEAD }

const keySize = 32

var errKeySize = fmt.Errorf("a key has %d bytes", keySize)

func newKey(raw []byte) (*Key, error) {
	if len(raw) != keySize {
		return nil, fmt.Errorf("%w, and not %d", errKeySize, len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Key{aead}, err
}

// ReadKey reads the key of a store; ErrNoKey says that there is none.
func ReadKey(dir string) (*Key, error) {
	raw, err := durable.ReadFile(keyFile(dir), keySize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return newKey(raw)
}

func keyFile(dir string) string { return filepath.Join(dir, "key") }

// Seal returns shown, an environment that may be seen by all, with p hidden in one entry more. Another of that name, as an image may have
// it, is left out of what is shown.
func (k *Key) Seal(p Process, shown []string) ([]string, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	rand.Read(nonce) // it does not fail
	sealed := k.aead.Seal(nonce, nonce, plain, purpose)
	return append(Shown(shown), entry+base64.StdEncoding.EncodeToString(sealed)), nil
}

// Open opens the entry of an environment that Seal has made.
func (k *Key) Open(env []string) (Process, error) {
	var p Process
	at := index(env)
	if at < 0 {
		return p, errors.New("nothing is sealed in it")
	}
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(env[at], entry))
	if err != nil || len(sealed) < k.aead.NonceSize() {
		return p, errors.New("the sealed environment is damaged")
	}
	plain, err := k.aead.Open(nil, sealed[:k.aead.NonceSize()], sealed[k.aead.NonceSize():], purpose)
	if err != nil {
		return p, ErrNoKey // damage cannot be told from another key
	}
	err = json.Unmarshal(plain, &p)
	return p, err
}

// Is says whether something is sealed in an environment.
func Is(env []string) bool { return index(env) >= 0 }

// Shown is what of a sealed environment may be seen by all.
func Shown(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, entry) })
}

// Added is what was added to an environment after it was sealed.
func Added(env []string) []string { return env[index(env)+1:] }

func index(env []string) int {
	return slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, entry) })
}
