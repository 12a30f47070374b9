// Package composefile reads compose files as docker compose does: variables, .env, several files over each other, include, extends and
// profiles. What comes of it are the parts of services as trees, in one form each, with the places where they stand.
package composefile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/tree"
)

// Options say what is read.
type Options struct {
	// Files are compose files, the later ones over the earlier ones.
	Files []string
	// EnvFiles are files of variables, instead of .env beside the first file.
	EnvFiles []string
	// Profiles are those that are wanted; "*" are all.
	Profiles []string
	// Project is the project's name, instead of the file's or the directory's.
	Project string
	// Read reads a file; Lookup the environment.
	Read   func(path string) ([]byte, error)
	Lookup Lookup
}

// Project is what the files say together.
type Project struct {
	Name string
	// Services are in the order of the files.
	Services []Service
	// Volumes, Networks, Secrets and Configs are maps, or nil.
	Volumes, Networks, Secrets, Configs *tree.Node
	// Lookup is the environment with what .env adds.
	Lookup Lookup
}

// Service is one service, in its one form.
type Service struct {
	Name string
	Node *tree.Node
}

const (
	maxFiles    = 100
	maxServices = 500
	// maxSpent bounds what all files may become together: their values, and bytes of values with variables filled in.
	maxSpent = 4 << 20
)

type loader struct {
	Options
	notes *note.List
	files int
	spent int
	said  map[string]bool
}

// Load reads a project. The error is for what cannot be read at all.
func Load(o Options, notes *note.List) (*Project, error) {
	l := &loader{Options: o, notes: notes, said: map[string]bool{}}
	dir := filepath.Dir(o.Files[0])
	lookup, err := l.environment(o.Lookup, dir, o.EnvFiles)
	if err != nil {
		return nil, err
	}
	root, err := l.project(o.Files, dir, lookup, nil)
	if err != nil {
		return nil, err
	}
	p := &Project{Name: o.Project, Lookup: lookup, Volumes: root.Get("volumes"), Networks: root.Get("networks"), Secrets: root.Get("secrets"), Configs: root.Get("configs")}
	for _, name := range []string{root.Get("name").Text(), absoluteBase(dir)} {
		if p.Name == "" {
			p.Name = name
		}
	}
	for _, e := range root.Entries {
		l.topLevel(e)
	}
	services := root.Get("services")
	if services == nil || services.Kind != tree.Map || len(services.Entries) == 0 {
		return nil, fmt.Errorf("%s has no services", o.Files[0])
	}
	for _, e := range services.Entries {
		p.Services = append(p.Services, Service{e.Key, e.Value})
	}
	p.Services = l.wanted(p.Services)
	return p, nil
}

func absoluteBase(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(dir)
}

// topLevel says what is made of keys beside services.
func (l *loader) topLevel(e tree.Entry) {
	switch e.Key {
	case "services", "volumes", "networks", "secrets", "configs", "name", "include":
	case "version":
		l.notes.Addf(e.Place, note.Changed, e.Key, "left out: it means nothing any more, in docker compose neither")
	case "models":
		l.notes.Addf(e.Place, note.Lost, e.Key, "language models are run by Docker alone; run a server of models as a service")
	default:
		if !strings.HasPrefix(e.Key, "x-") {
			l.notes.Addf(e.Place, note.Failed, e.Key, "no such part of a compose file is known")
		}
	}
}

// environment adds files of variables to lookup, which wins.
func (l *loader) environment(lookup Lookup, dir string, files []string) (Lookup, error) {
	given := len(files) > 0
	if !given {
		files = []string{filepath.Join(dir, ".env")}
	}
	values := map[string]string{}
	look := func(name string) (string, bool) {
		if v, ok := lookup(name); ok {
			return v, true
		}
		v, ok := values[name]
		return v, ok
	}
	for _, file := range files {
		data, err := l.Read(file)
		if errors.Is(err, fs.ErrNotExist) && !given {
			continue
		}
		if err != nil {
			return nil, err
		}
		vars, err := ParseEnv(string(data), look, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, v := range vars {
			if v.Set {
				values[v.Name] = v.Value
			}
		}
	}
	return look, nil
}

// project reads files over each other. within are the files that include these.
func (l *loader) project(files []string, dir string, lookup Lookup, within []string) (*tree.Node, error) {
	var root *tree.Node
	for _, file := range files {
		docs, err := l.read(file, dir, lookup)
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			if doc.Kind != tree.Map {
				return nil, fmt.Errorf("%s:%d: a compose file is a map with services", file, doc.Line)
			}
			if err := l.services(doc, lookup); err != nil {
				return nil, err
			}
			if err := l.include(doc, dir, lookup, append(slices.Clone(within), file)); err != nil {
				return nil, err
			}
			root = mergeFiles(root, doc)
		}
	}
	if root == nil {
		return nil, fmt.Errorf("%s is empty", files[0])
	}
	return root, nil
}

// read reads one file, with its variables filled in.
func (l *loader) read(file, dir string, lookup Lookup) ([]*tree.Node, error) {
	if l.files++; l.files > maxFiles {
		return nil, fmt.Errorf("%s: more than %d files are not read", file, maxFiles)
	}
	data, err := l.Read(file)
	if err != nil {
		return nil, err
	}
	docs, err := tree.Parse(file, dir, data)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, doc := range docs {
		var at note.Place
		s := substitution{lookup: lookup, spent: &l.spent, used: func(name string, set bool) {
			if !set && !l.said[name] {
				l.said[name] = true
				l.notes.Addf(note.Place{File: file}, note.Todo, "", "the variable %s is not set and counts as empty; set it in the environment or in .env, and convert again", name)
			}
		}}
		s.fill(doc, func(n *tree.Node, err error) {
			if at = n.Place; failed == nil {
				failed = fmt.Errorf("%s:%d: %w", at.File, at.Line, err)
			}
		})
	}
	return docs, failed
}

// services brings the services of one file to their one form, and what they extend into them.
func (l *loader) services(doc *tree.Node, lookup Lookup) error {
	services := doc.Get("services")
	if services == nil || services.Kind == tree.Null {
		return nil
	}
	if services.Kind != tree.Map {
		return fmt.Errorf("%s:%d: services is a map of names", services.File, services.Line)
	}
	for _, e := range services.Entries {
		if e.Value.Kind != tree.Map {
			if e.Value.Tag == "!reset" {
				continue
			}
			return fmt.Errorf("%s:%d: the service %q is a map", e.File, e.Line, e.Key)
		}
		normalize(e.Value)
	}
	if len(services.Entries) > maxServices {
		return fmt.Errorf("%s:%d: more than %d services are not read", services.File, services.Line, maxServices)
	}
	for i, e := range services.Entries {
		extended, err := l.extend(e.Key, e.Value, services, lookup, nil)
		if err != nil {
			return err
		}
		services.Entries[i].Value = extended
	}
	return nil
}

// extend lays a service over the one that it extends. chain are those that lead here.
func (l *loader) extend(name string, service, services *tree.Node, lookup Lookup, chain []string) (*tree.Node, error) {
	e := service.Get("extends")
	if e == nil {
		return service, nil
	}
	id := service.File + "#" + name
	if slices.Contains(chain, id) || len(chain) > maxFiles {
		return nil, fmt.Errorf("%s:%d: the service %q extends itself", e.File, e.Line, name)
	}
	of, file := e.Get("service").Text(), e.Get("file").Text()
	if file != "" {
		file = joined(e.Dir, file)
		docs, err := l.read(file, filepath.Dir(file), lookup)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: what the service %q extends cannot be read: %w", e.File, e.Line, name, err)
		}
		services = nil
		for _, doc := range docs {
			services = mergeFiles(services, doc.Get("services"))
		}
		if services != nil {
			for _, s := range services.Entries {
				normalize(s.Value)
			}
		}
	}
	base := services.Get(of)
	if base == nil || base.Kind != tree.Map {
		return nil, fmt.Errorf("%s:%d: the service %q, which %q extends, does not exist", e.File, e.Line, of, name)
	}
	base, err := l.extend(of, base, services, lookup, append(chain, id))
	if err != nil {
		return nil, err
	}
	if l.spent += base.Size(); l.spent > maxSpent {
		return nil, fmt.Errorf("%s:%d: the services extend too much", e.File, e.Line)
	}
	service.Set("extends", nil)
	return merge("", base.Clone(), service), nil
}

func joined(dir, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// include reads what a file includes; of the same name may be only one.
func (l *loader) include(doc *tree.Node, dir string, lookup Lookup, within []string) error {
	for _, item := range doc.Get("include").List() {
		var paths, envs []string
		if item.Kind == tree.Map {
			for _, p := range item.Get("path").Texts() {
				paths = append(paths, joined(dir, p))
			}
			for _, p := range item.Get("env_file").Texts() {
				envs = append(envs, joined(dir, p))
			}
		} else {
			paths = []string{joined(dir, item.Text())}
		}
		if len(paths) == 0 {
			return fmt.Errorf("%s:%d: include names no file", item.File, item.Line)
		}
		for _, p := range paths {
			if slices.Contains(within, p) || len(within) > maxFiles {
				return fmt.Errorf("%s:%d: %s includes itself", item.File, item.Line, p)
			}
		}
		at := filepath.Dir(paths[0])
		if d := item.Get("project_directory").Text(); d != "" {
			at = joined(dir, d)
		}
		look, err := l.environment(lookup, at, envs)
		if err != nil {
			return err
		}
		included, err := l.project(paths, at, look, append(within, paths...))
		if err != nil {
			return fmt.Errorf("%s:%d: what is included cannot be read: %w", item.File, item.Line, err)
		}
		for _, part := range []string{"services", "volumes", "networks", "secrets", "configs"} {
			theirs := included.Get(part)
			if theirs == nil || theirs.Kind != tree.Map {
				continue
			}
			if mine := doc.Get(part); mine == nil || mine.Kind != tree.Map {
				doc.Set(part, theirs)
				continue
			}
			for _, e := range theirs.Entries {
				if part == "services" && doc.Get(part).Get(e.Key) != nil {
					return fmt.Errorf("%s:%d: the service %q is there already; what is included cannot be changed here", e.File, e.Line, e.Key)
				}
				if doc.Get(part).Get(e.Key) == nil {
					doc.Get(part).Set(e.Key, e.Value)
				}
			}
		}
	}
	return nil
}

// mergeFiles lays one file over another.
func mergeFiles(base, over *tree.Node) *tree.Node {
	if base == nil || base.Kind != tree.Map || over == nil {
		return over
	}
	for _, e := range over.Entries {
		mine := base.Get(e.Key)
		if mine == nil || mine.Kind != tree.Map || e.Value.Kind != tree.Map {
			if e.Key != "include" {
				base.Set(e.Key, e.Value)
			}
			continue
		}
		for _, part := range e.Value.Entries {
			mine.Set(part.Key, merge("", mine.Get(part.Key), part.Value))
		}
	}
	return base
}

// wanted leaves out services of profiles that are not wanted, but those that a wanted one depends on.
func (l *loader) wanted(services []Service) []Service {
	on := map[string]bool{}
	for _, s := range services {
		profiles := s.Node.Get("profiles").Texts()
		on[s.Name] = len(profiles) == 0
		for _, p := range profiles {
			on[s.Name] = on[s.Name] || slices.Contains(l.Profiles, p) || slices.Contains(l.Profiles, "*")
		}
	}
	var out []Service
	for _, s := range services {
		if !on[s.Name] {
			p := s.Node.Get("profiles")
			l.notes.Addf(p.Place, note.Lost, "services."+s.Name, "left out, as docker compose leaves it out: it has a profile; --profile %s brings it in", p.Texts()[0])
			continue
		}
		out = append(out, s)
	}
	return out
}
