package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/source/watch"
)

// Check decodes files and directories and returns what is wrong with them, also among each other. A name that is given
// is read whatever its suffix, and whatever it is; in a directory the daemon's rules hold. The error is for what cannot be read at
// all.
func Check(paths []string, opts decode.Options) (manifests.Problems, error) {
	return check(paths, opts, nil)
}

// CheckSigned is Check for a box that demands signatures. The error is also for keys that cannot be used.
func CheckSigned(paths []string, opts decode.Options, by Signing) (manifests.Problems, error) {
	s := newSigning(by)
	f, err := watch.Open(by.KeyFile)
	if err == nil {
		s.keys, s.err = readKeys(f)
		err = s.err
	}
	if err != nil {
		return nil, fmt.Errorf("the keys in %s cannot be used: %w", by.KeyFile, err)
	}
	return check(paths, opts, s)
}

func check(paths []string, opts decode.Options, s *signing) (manifests.Problems, error) {
	var all manifests.Problems
	set := manifests.NewSet(nil)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			data, err := readNamed(path)
			if err != nil {
				return nil, err
			}
			checkNamed(set, path, info, data, opts, s)
			continue
		}
		if err := checkWritable(path, info); err != nil {
			all = append(all, manifests.Problem{File: path, Message: err.Error()})
		}
		if err := checkDirectory(set, path, opts, s); err != nil {
			return nil, err
		}
	}
	for _, f := range set.Snapshot(time.Now()).Files {
		all = append(all, f.Problems...)
	}
	return all, nil
}

func checkDirectory(set *manifests.Set, dir string, opts decode.Options, s *signing) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); !isManifest(e.Name()) || err == nil && info.IsDir() {
			continue
		}
		f, err := watch.Open(path)
		if err != nil {
			set.Put(path, manifests.Contents{}, manifests.Problems{{File: path, Message: "cannot be read: " + err.Error()}}, time.Time{})
			continue
		}
		data, err := io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		doc := s.check(path, data, func() document { return decodeTrusted(path, f, data, opts) })
		set.Put(path, doc.contents, doc.problems, time.Time{})
	}
	return nil
}

// readNamed reads a file that was named, which may be a pipe.
func readNamed(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:forbidigo // the user names it, a pipe maybe, and waits for it
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
	return data, errors.Join(err, f.Close())
}

// checkNamed does not ask who can write the file, and only warns of who can read its Secrets: where the daemon reads it, it may be
// otherwise, and checkouts are often the group's.
func checkNamed(set *manifests.Set, path string, info os.FileInfo, data []byte, opts decode.Options, s *signing) {
	doc := s.check(path, data, func() document {
		contents, problems := decode.Decode(path, data, opts)
		return document{contents: contents, problems: problems}
	})
	if len(doc.contents.Secrets) > 0 && info.Mode().IsRegular() { // a pipe says nothing of the file behind it
		if err := checkReadable(path, info); err != nil {
			doc.problems = append(doc.problems, manifests.Problem{File: path, Message: err.Error(), Warning: true})
		}
	}
	set.Put(path, doc.contents, doc.problems, time.Time{})
}

// check is decode where nothing is waited for.
func (s *signing) check(path string, data []byte, decoded func() document) document {
	out, err := s.decode(path, path, data, decoded)
	if err != nil {
		out.problems = manifests.Problems{{File: path, Message: err.Error()}}
	}
	return out
}
