package source

import (
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// Check decodes files and directories and returns what is wrong with them, also among each other. A name that is given
// is read whatever its suffix; in a directory the daemon's rules hold. The error is for what cannot be read at all.
func Check(paths []string, opts decode.Options) (manifests.Problems, error) {
	var all manifests.Problems
	set := manifests.NewSet(nil)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		files := []string{path}
		if info.IsDir() {
			if err := CheckPermissions(path); err != nil {
				all = append(all, manifests.Problem{File: path, Message: err.Error()})
			}
			if files, err = manifestsIn(path); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			contents, problems := decode.Decode(file, data, opts)
			if info, err := os.Stat(file); err == nil && len(contents.Secrets) > 0 {
				if err := checkReadable(file, info); err != nil { // where the daemon reads it, it may be otherwise
					problems = append(problems, manifests.Problem{File: file, Message: err.Error(), Warning: true})
				}
			}
			set.Put(file, contents, problems, time.Time{})
		}
	}
	for _, f := range set.Snapshot(time.Now()).Files {
		all = append(all, f.Problems...)
	}
	return all, nil
}

func manifestsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); isManifest(e.Name()) && (err != nil || !info.IsDir()) {
			files = append(files, path)
		}
	}
	return files, nil
}
