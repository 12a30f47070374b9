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

// Stdin is the name that stands for what comes from the standard input.
const Stdin = "-"

// Checking says how files are judged without a daemon.
type Checking struct {
	// Decode is how strict a daemon would be.
	Decode decode.Options
	// Signing is what a daemon demands of signatures; nil for none.
	Signing *Signing
	// Dir is the directory of a daemon: files of it are judged like it would, also where they are named one by one. It need not exist.
	Dir string
	// WarnPermissions has who can write a file, and read its Secrets, be warnings: for checkouts, whose modes are not those of the box.
	WarnPermissions bool
	// Input is read for the name Stdin.
	Input io.Reader
}

// Check decodes files and directories and returns what is wrong with them, also among each other. A name that is given
// is read whatever its suffix, and whatever it is; in a directory the daemon's rules hold. The error is for what cannot be read at
// all, and for keys that cannot be used.
func Check(paths []string, c Checking) (manifests.Problems, error) {
	files, all, err := c.files(paths)
	if err != nil {
		return nil, err
	}
	return append(all, ProblemsOf(files)...), nil
}

// files are what a daemon would say of each file, and what there is to say of directories.
func (c Checking) files(paths []string) (files []manifests.File, found manifests.Problems, err error) {
	s, err := c.keys()
	if err != nil {
		return nil, nil, err
	}
	set := manifests.NewSet(nil)
	for _, path := range paths {
		if path == Stdin {
			data, err := io.ReadAll(io.LimitReader(c.Input, decode.MaxFileSize+1))
			if err != nil {
				return nil, nil, fmt.Errorf("cannot read the standard input: %w", err)
			}
			contents, problems := decode.Decode("stdin", data, c.Decode) // it has no signature beside it
			set.Put("stdin", contents, problems, time.Time{})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			data, err := readNamed(path)
			if err != nil {
				return nil, nil, err
			}
			doc := s.check(path, data, func() document { return decodeFile(path, path, info, data, c.Decode, c.whereNamed(path, info)) })
			set.Put(path, doc.contents, doc.problems, time.Time{})
			continue
		}
		if err := checkWritable(path, info); err != nil {
			found = append(found, manifests.Problem{File: path, Message: err.Error(), Warning: c.WarnPermissions})
		}
		some, err := c.directory(set, path, s)
		if err != nil {
			return nil, nil, err
		}
		if !some {
			found = append(found, manifests.Problem{File: path, Warning: true, Message: "holds no manifest: no *.yaml, *.yml or *.json is directly in it, and directories in it are not read"})
		}
	}
	return set.Snapshot(time.Now()).Files, found, nil
}

// keys reads the keys of those who may sign.
func (c Checking) keys() (*signing, error) {
	if c.Signing == nil {
		return nil, nil
	}
	s := newSigning(*c.Signing)
	f, err := watch.Open(s.KeyFile)
	if err == nil {
		s.keys, s.err = readKeys(f)
		err = s.err
	}
	if err != nil {
		return nil, fmt.Errorf("the keys in %s cannot be used: %w", s.KeyFile, err)
	}
	return s, nil
}

// directory checks the files of a directory; some says whether there are any.
func (c Checking) directory(set *manifests.Set, dir string, s *signing) (some bool, err error) {
	paths, err := ManifestsIn(dir)
	if err != nil {
		return false, err
	}
	where := asDaemon
	if c.WarnPermissions {
		where = inCheckout
	}
	for _, path := range paths {
		f, err := watch.Open(path)
		if err != nil {
			set.Put(path, manifests.Contents{}, manifests.Problems{{File: path, Message: unusable(err)}}, time.Time{})
			continue
		}
		data, err := io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return true, err
		}
		doc := s.check(path, data, func() document { return decodeFile(path, path, f.Info, data, c.Decode, where) })
		set.Put(path, doc.contents, doc.problems, time.Time{})
	}
	return len(paths) > 0, nil
}

// whereNamed: a file that was named alone is mostly one that is still to be copied to its place. Its mode goes with it, and who can write it
// does not: that depends on who copies it.
func (c Checking) whereNamed(path string, info os.FileInfo) place {
	switch {
	case !info.Mode().IsRegular(): // a pipe says nothing of the file behind it
		return anywhere
	case c.WarnPermissions:
		return inCheckout
	case sameDirectory(filepath.Dir(path), c.Dir):
		return asDaemon
	}
	return elsewhere
}

func sameDirectory(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil || b == "" {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
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

// check is decode where nothing is waited for.
func (s *signing) check(path string, data []byte, decoded func() document) document {
	out, err := s.decode(path, path, data, decoded)
	if err != nil {
		out.problems = manifests.Problems{{File: path, Message: unusable(err)}}
	}
	return out
}
