package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/solopod/solopod/runner/foreign"
)

// way is how a directory is come by: all directories that lead to it, by its path as it is given and by the one without links.
type way struct {
	places []place
	// steps are the paths of the places; ends are those of the directory itself.
	steps, ends map[string]bool
}

// wayTo finds the directories that lead to dir, as far as there are any, and dir itself.
func wayTo(dir string) way {
	w := way{steps: map[string]bool{}, ends: map[string]bool{dir: true}}
	paths := []string{dir}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil && resolved != dir {
		paths = append(paths, resolved)
		w.ends[resolved] = true
	}
	for _, path := range paths {
		for ; !w.steps[path]; path = filepath.Dir(path) {
			w.steps[path] = true
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				w.places = append(w.places, place{path, identityOf(info)})
			}
		}
	}
	return w
}

// survey is what stands in a directory, before links are followed.
type survey struct {
	listing
	links []string
}

// surveyOf lists a directory. trust may refuse it.
func surveyOf(dir string, wanted func(string) bool, trust func(string, fs.FileInfo) error) survey {
	s, err := list(dir, wanted, trust)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return survey{listing: listing{problem: "does not exist (create it, even empty)"}}
	case err != nil:
		return survey{listing: listing{problem: fmt.Sprintf("cannot be used: %v", err)}}
	}
	return s
}

func list(dir string, wanted func(string) bool, trust func(string, fs.FileInfo) error) (survey, error) {
	d, err := foreign.OpenDirectoryFollowing(dir)
	if err != nil {
		return survey{}, err
	}
	defer d.Close() //nolint:errcheck // only read from
	info, err := d.Stat()
	if err != nil {
		return survey{}, err
	}
	if trust != nil {
		if err := trust(dir, info); err != nil {
			return survey{}, err
		}
	}
	found, err := d.ReadDir(-1)
	if err != nil {
		return survey{}, err
	}
	s := survey{listing: listing{dir: identityOf(info), entries: map[string]entry{}}}
	for _, e := range found {
		if !wanted(e.Name()) || e.IsDir() {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 {
			s.links = append(s.links, e.Name())
			continue
		}
		info, err := e.Info()
		if err == nil && !info.IsDir() {
			s.entries[e.Name()] = entry{edition{version: VersionOf(info)}, regular(info)}
		} // otherwise it has gone meanwhile
	}
	return s, nil
}

// target is what a link leads to.
type target struct {
	entry
	dir bool
	// behind is the directory in which the file stands, to be watched.
	behind place
}

// aim is the directory that a link points into which leads nowhere yet.
func aim(path string) place {
	to, err := os.Readlink(path)
	if err != nil {
		return place{}
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	info, err := os.Stat(filepath.Dir(to))
	if err != nil {
		return place{}
	}
	return place{filepath.Dir(to), identityOf(info)}
}

func followed(path string) target {
	info, err := os.Stat(path)
	if err != nil {
		return target{entry: entry{err: err}, behind: aim(path)}
	}
	if info.IsDir() {
		return target{dir: true}
	}
	t := target{entry: entry{edition{version: VersionOf(info)}, regular(info)}}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		parent := filepath.Dir(resolved)
		if info, err := os.Stat(parent); err == nil {
			t.behind = place{parent, identityOf(info)}
		}
	}
	return t
}
