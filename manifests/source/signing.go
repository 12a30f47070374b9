package source

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/manifests/source/watch"
	"github.com/solopod/solopod/runner/foreign"
)

// Signing says that each manifest must be signed, and by whom.
type Signing struct {
	// KeyFile holds the public keys of those who may sign; see signature.ParseKeys.
	KeyFile string
	// RequireVersion refuses files that have no version.
	RequireVersion bool
	// Versions remembers what the box has had; nil refuses nothing as older.
	Versions Versions
}

// Versions remembers which version of each object the box has had.
type Versions interface {
	// Accept notes that a file is about to be used: its objects, its version, zero for none, and what tells its content from others. When
	// it is not to be used, for a later version was, refused says why. An error says that it cannot be noted; the file is not used then
	// either, and is tried again. It may be called concurrently, and may take a second.
	Accept(objects []string, version uint64, content string) (refused string, err error)
}

// signatureSuffixes end the names of signatures: ssh-keygen writes .sig, minisign .minisig; either tool can write either.
var signatureSuffixes = []string{".sig", ".minisig"}

const (
	// maxKeyFile bounds the file of keys, in bytes.
	maxKeyFile = 1 << 20
	// keysLimit is how long a start waits for the file of keys.
	keysLimit = 10 * time.Second
)

// signing verifies manifests. A nil one lets everything pass.
type signing struct {
	Signing
	mu   sync.Mutex
	keys signature.Keys
	err  error // why there are no keys
}

func newSigning(s Signing) *signing {
	return &signing{Signing: s, err: errors.New("it does not exist, or does not answer; create it, with a public key on each line")}
}

// problem says why no file can be verified; nil when they can.
func (s *signing) problem() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	return fmt.Errorf("the keys in %s cannot be used: %w", s.KeyFile, s.err)
}

func (s *signing) set(keys signature.Keys, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.err = keys, err
}

// readKeys reads the file of keys: who can write to it decides what runs as root.
func readKeys(f *watch.File) (signature.Keys, error) {
	defer f.Close() //nolint:errcheck // only read from
	if err := checkWritable(f.Name(), f.Info); err != nil {
		return signature.Keys{}, err
	}
	data, err := foreign.ReadAll(f.File, maxKeyFile)
	if err != nil {
		return signature.Keys{}, err
	}
	if !f.Unchanged() {
		return signature.Keys{}, watch.ErrBeingWritten
	}
	return signature.ParseKeys(data)
}

// watchKeys reads the keys and goes on with every change until ctx ends; read is called after each.
func (s *signing) watchKeys(ctx context.Context, read func()) error {
	dir, name := filepath.Split(filepath.Clean(s.KeyFile))
	return watch.New(watch.Options[signature.Keys]{
		Dir: dir, Wanted: func(n string) bool { return n == name }, Trust: checkWritable, Load: readKeys,
		Apply: func(r watch.Round[signature.Keys]) {
			s.mu.Lock()
			none := s.err != nil
			s.mu.Unlock()
			if l, ok := r.Loaded[name]; ok {
				s.set(l.Value, nil)
			} else if err := r.Failed[name]; err != nil {
				s.set(signature.Keys{}, err)
			} else if len(r.Gone) > 0 {
				s.set(signature.Keys{}, fs.ErrNotExist)
			} else if r.Warning != "" && none { // keys that are known stay as they are, as manifests do
				s.set(signature.Keys{}, fmt.Errorf("its directory %s %s", dir, r.Warning))
			}
			read()
		},
	}).Run(ctx)
}

// decode verifies what a file holds, and decodes just that. path is the file's, name what problems call it. An error is a *watch.Mismatch or
// a *watch.Later.
func (s *signing) decode(path, name string, data []byte, decoded func() document) (document, error) {
	if s == nil || len(data) > decode.MaxFileSize { // what is too long is refused unread
		return decoded(), nil
	}
	refuse := func(message string) document {
		return document{problems: manifests.Problems{{File: name, Message: message}}}
	}
	s.mu.Lock()
	keys, err := s.keys, s.err
	s.mu.Unlock()
	if err != nil {
		return refuse("cannot be verified: " + s.problem().Error()), nil
	}
	signer, err := s.verify(keys, path, data)
	if err != nil {
		return document{}, &watch.Mismatch{Err: err}
	}
	out := decoded()
	out.origin.Signer = signer
	if len(out.problems.Errors()) > 0 {
		return out, nil
	}
	refused, err := s.accept(out.contents, data)
	if err != nil {
		return document{}, &watch.Later{Err: err}
	}
	if refused != "" {
		return refuse(refused), nil
	}
	return out, nil
}

// verify finds a good signature of a file's content beside the file, and names its signer.
func (s *signing) verify(keys signature.Keys, path string, data []byte) (signer string, err error) {
	name, unsigned := manifests.PrintableName(filepath.Base(path)), true
	var found []string
	for _, suffix := range signatureSuffixes {
		text, err := foreign.ReadFollowing(path+suffix, signature.MaxSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		unsigned = false
		if err != nil {
			found = append(found, fmt.Sprintf("%s%s cannot be read: %s", name, suffix, manifests.PrintableName(err.Error())))
			continue
		}
		if signer, err = keys.Verify(data, text, time.Now()); err == nil {
			return signer, nil
		}
		said := fmt.Sprintf("%s%s %v", name, suffix, err)
		if errors.Is(err, signature.ErrUnknownKey) {
			said += "; add that key to " + s.KeyFile + ", or sign the file with one that is there"
		}
		found = append(found, said)
	}
	if unsigned {
		return "", fmt.Errorf("is not signed: there is no %s.sig and no %[1]s.minisig; sign it with \"minisign -Sm %[1]s\" or \"ssh-keygen -Y sign -n %[2]s -f KEY %[1]s\"",
			name, signature.Namespace)
	}
	return "", fmt.Errorf("is not signed as it must be: %s", strings.Join(found, "; "))
}

// accept has the version of a file that is good noted before it is used.
func (s *signing) accept(c manifests.Contents, data []byte) (refused string, err error) {
	if c.Version == 0 && s.RequireVersion {
		return fmt.Sprintf("has no version, and manifestVersions is required: give an object the annotation %s: \"1\", raise it with each change, and sign the file again",
			manifests.VersionAnnotation), nil
	}
	if s.Versions == nil {
		return "", nil
	}
	sum := sha256.Sum256(data)
	return s.Versions.Accept(c.Declared, c.Version, base64.RawStdEncoding.EncodeToString(sum[:]))
}
