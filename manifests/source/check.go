package source

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// Check decodes files and directories and returns what is wrong with them, also among each other. A name that is given
// is read whatever its suffix, and whatever it is; in a directory the daemon's rules hold. The error is for what cannot be read at
// all.
func Check(paths []string, opts decode.Options) (manifests.Problems, error) {
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
			checkNamed(set, path, info, data, opts)
			continue
		}
		if err := checkWritable(path, info); err != nil {
			all = append(all, manifests.Problem{File: path, Message: err.Error()})
		}
		if err := checkDirectory(set, path, opts); err != nil {
			return nil, err
		}
	}
	for _, f := range set.Snapshot(time.Now()).Files {
		all = append(all, f.Problems...)
	}
	return all, nil
}

func checkDirectory(set *manifests.Set, dir string, opts decode.Options) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); !isManifest(e.Name()) || err == nil && info.IsDir() {
			continue
		}
		f, err := Open(path)
		if err != nil {
			set.Put(path, manifests.Contents{}, manifests.Problems{{File: path, Message: "cannot be read: " + err.Error()}}, time.Time{})
			continue
		}
		data, err := io.ReadAll(io.LimitReader(f, decode.MaxFileSize+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		doc := decodeTrusted(path, f, data, opts)
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
func checkNamed(set *manifests.Set, path string, info os.FileInfo, data []byte, opts decode.Options) {
	contents, problems := decode.Decode(path, data, opts)
	if len(contents.Secrets) > 0 && info.Mode().IsRegular() { // a pipe says nothing of the file behind it
		if err := checkReadable(path, info); err != nil {
			problems = append(problems, manifests.Problem{File: path, Message: err.Error(), Warning: true})
		}
	}
	set.Put(path, contents, problems, time.Time{})
}
