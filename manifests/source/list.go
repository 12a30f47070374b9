package source

import (
	"os"
	"path/filepath"

	"github.com/solopod/solopod/manifests"
)

// ManifestsIn are the paths of the files in a directory that a daemon reads as manifests, by name. Directories are none, whatever they are
// called; what cannot be looked at is for who reads it to say.
func ManifestsIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !IsManifest(e.Name()) {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// ProblemsOf are those of all files.
func ProblemsOf(files []manifests.File) (all manifests.Problems) {
	for _, f := range files {
		all = append(all, f.Problems...)
	}
	return all
}
