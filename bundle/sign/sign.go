// Package sign makes signatures of ssh keys, in the form of ssh-keygen -Y sign. Why those: the keys are there already on most machines of
// who releases software, OpenSSH alone verifies them, and golang.org/x/crypto, which makes them, is small and in the program anyway.
package sign

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// MaxKey is for a file with a private key, in bytes.
const MaxKey = 64 << 10

// Key reads a private key of OpenSSH; passphrase is asked for one where the key has one.
func Key(text []byte, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(text)
	if locked := new(ssh.PassphraseMissingError); errors.As(err, &locked) {
		word, err := passphrase()
		if err != nil {
			return nil, err
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(text, word)
		if err != nil {
			return nil, fmt.Errorf("the key cannot be opened with this passphrase: %w", err)
		}
		return signer, nil
	}
	if err != nil {
		return nil, fmt.Errorf("it is no private key of OpenSSH, as ssh-keygen -t ed25519 makes one: %w", err)
	}
	return signer, nil
}

// Sign makes the signature of data for a namespace.
func Sign(signer ssh.Signer, data []byte, namespace string) ([]byte, error) {
	s, err := sshsig.Sign(bytes.NewReader(data), signer, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, err
	}
	return sshsig.Armor(s), nil
}
