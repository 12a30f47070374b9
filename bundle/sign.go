package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/solopod/solopod/bundle/layout"
	"github.com/solopod/solopod/manifests/signature"
)

// ErrUnsigned says that a bundle has no signature.
var ErrUnsigned = errors.New("it is not signed; sign it with \"solopod bundle sign\"")

// Signatures is how many there are.
func (b *Bundle) Signatures() int { return len(b.signatures) }

// Verify looks for a signature by one of the keys, and names the signer.
func (b *Bundle) Verify(keys signature.Keys, now time.Time) (signer string, err error) {
	if len(b.signatures) == 0 {
		return "", ErrUnsigned
	}
	keys = keys.For(signature.BundleNamespace)
	var said []string
	for _, s := range b.signatures {
		signer, err := keys.Verify(b.Signed, s.data, now)
		if err == nil {
			return signer, nil
		}
		said = append(said, "a signature "+err.Error())
	}
	return "", fmt.Errorf("it is not signed as it must be: %s", strings.Join(said, "; "))
}

// AddSignature writes the bundle with one more signature to a file, which may be its own. Whose it is is not looked at.
func (b *Bundle) AddSignature(ctx context.Context, text []byte, to string) error {
	if len(text) > signature.MaxSize {
		return fmt.Errorf("the signature has %d bytes, and may have %d", len(text), signature.MaxSize)
	}
	signatures := b.signatures
	if !b.has(text) {
		if len(signatures) == MaxSignatures {
			return fmt.Errorf("the bundle has %d signatures, which is as many as it may", MaxSignatures)
		}
		signatures = append(signatures[:len(signatures):len(signatures)], part{descriptor(SignatureType, text), text})
	}
	w, err := layout.Create(to)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := begin(w.Writer, b.Description, part{b.artifact, b.Signed}, b.config, signatures); err != nil {
		return err
	}
	wanted := map[digest.Digest]bool{}
	for _, m := range b.Manifests {
		wanted[m.Digest] = true
	}
	for _, c := range b.Contents {
		for d := range c.parts {
			wanted[d] = true
		}
	}
	err = b.layout.Copy(ctx, func(d digest.Digest) bool { return wanted[d] && !w.Has(d) }, func(d digest.Digest, size int64, in io.Reader) error {
		return w.Blob(d, size, in)
	})
	if err != nil {
		return err
	}
	return w.Commit()
}

func (b *Bundle) has(text []byte) bool {
	for _, s := range b.signatures {
		if bytes.Equal(s.data, text) {
			return true
		}
	}
	return false
}
