// Package service reads the services of a compose project into parts of pods, key by key: what each key becomes is one row of a table, and
// what has no counterpart is said.
package service

import (
	"fmt"
	"io/fs"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/convert/composefile"
	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/tree"
)

// Options say how manifests are made.
type Options struct {
	// WaitImage is the image of init containers that wait for another service; it needs sh and ping. Where it is empty nothing waits.
	WaitImage string
	// Read reads a file that the project names; Kind says what lies at a path of the machine, and fs.ErrNotExist where nothing does.
	Read func(path string) ([]byte, error)
	Kind func(path string) (fs.FileMode, error)
}

// Object is an object for a manifest, with what it was made of.
type Object struct {
	note.Place
	Path  string
	Value metav1.Object
}

// Project is a conversion that is under way.
type Project struct {
	Options
	*composefile.Project
	Notes    *note.List
	Services []*Service
	ByName   map[string]*Service
	// Objects are those beside pods that were made so far. Made are the names of some of them, by kind.
	Objects []Object
	Made    map[string]bool
	claims  map[string]*claim
	said    map[string]bool
	// sources say of which name in the file an object was made, by kind and name.
	sources map[string]string
}

// Service is one of the project's, in the making.
type Service struct {
	Project *Project
	// Name is that in the compose file, Object that in manifests.
	Name, Object string
	Node         *tree.Node
	Container    v1.Container
	Pod          *Pod
	// Annotations of the pod, and Above of what makes it.
	Annotations, Above map[string]string

	Replicas int32
	// Mode is that of deploy, Restart the policy as compose writes it.
	Mode, Restart string
	Published     []forms.Published
	// Aliases are other names that it is found by.
	Aliases []string
	// Former are names by which others may know it, and which it cannot have.
	Former   []string
	Networks []string
	Needs    []Need
	// WaitedFor: others wait until it is healthy. First: it runs as an init container of those that need its end.
	WaitedFor, First bool
}

// Pod is what services run in; several where they share namespaces.
type Pod struct {
	Owner   *Service
	Members []*Service
	Spec    v1.PodSpec
	// WritesHost: a container writes to directories of the machine. ManyWriters: there are several of the pod.
	WritesHost, ManyWriters bool
}

// Need is an entry of depends_on.
type Need struct {
	Field
	Service, Condition string
}

// Field is a part of a service, with where it stands.
type Field struct {
	*tree.Node
	Of   *Service
	Path string
}

// Field is a key of the service; without the key it stands where the service does.
func (s *Service) Field(key string) Field { return s.Whole().Child(key) }

// Whole is the service itself.
func (s *Service) Whole() Field { return Field{s.Node, s, "services." + s.Name} }

// Add adds an object that comes of f.
func (p *Project) Add(f Field, o metav1.Object) {
	p.Objects = append(p.Objects, Object{f.Place, f.Path, o})
}

// Child is the value of a key; null where there is none.
func (f Field) Child(key string) Field {
	n := f.Get(key)
	if n == nil {
		n = &tree.Node{Place: f.Place, Dir: f.Dir}
	}
	return Field{n, f.Of, f.Path + "." + key}
}

// Items are those of a list.
func (f Field) Items() (out []Field) {
	for i, item := range f.List() {
		path := f.Path
		if f.Kind == tree.List {
			path = fmt.Sprintf("%s[%d]", path, i)
		}
		out = append(out, Field{item, f.Of, path})
	}
	return out
}

func (f Field) say(kind note.Kind, format string, args ...any) {
	f.Of.Project.Notes.Addf(f.Place, kind, f.Path, format, args...)
}

// Changed adds a note of this kind.
func (f Field) Changed(format string, args ...any) { f.say(note.Changed, format, args...) }

// Lost adds a note of this kind.
func (f Field) Lost(format string, args ...any) { f.say(note.Lost, format, args...) }

// Todo adds a note of this kind.
func (f Field) Todo(format string, args ...any) { f.say(note.Todo, format, args...) }

// Failed adds a note of this kind.
func (f Field) Failed(format string, args ...any) { f.say(note.Failed, format, args...) }

// takes says whether an object may have a name: not when it is that of one that was made of something else.
func (f Field) takes(kind, object, source string) bool {
	sources := f.Of.Project.sources
	if other, ok := sources[kind+"/"+object]; ok && other != source {
		f.Failed("the name of %s becomes %s, as that of %s does; give it another one", source, object, other)
		return false
	}
	sources[kind+"/"+object] = source
	return true
}

// Once says something the first time in a project.
func (f Field) Once(what string, say func(format string, args ...any), format string, args ...any) {
	if !f.Of.Project.said[what] {
		f.Of.Project.said[what] = true
		say(format, args...)
	}
}

// Read reads the services of a project.
func Read(from *composefile.Project, o Options, notes *note.List) *Project {
	p := &Project{Options: o, Project: from, Notes: notes, ByName: map[string]*Service{}, claims: map[string]*claim{}, Made: map[string]bool{}, said: map[string]bool{}, sources: map[string]string{}}
	taken := map[string]string{}
	for _, s := range from.Services {
		path := "services." + s.Name
		object, ok := forms.Label(s.Name)
		if !ok {
			notes.Addf(s.Node.Place, note.Failed, path, "nothing of this name can stand in a manifest; give it letters or digits")
			continue
		}
		if other, ok := taken[object]; ok {
			notes.Addf(s.Node.Place, note.Failed, path, "its name becomes %s, as that of %s does; give it another one", object, other)
			continue
		}
		taken[object] = s.Name
		if object != s.Name {
			notes.Addf(s.Node.Place, note.Changed, path, "it is named %s, which others reach it by: a name is of small letters, digits and '-'", object)
		}
		made := &Service{Project: p, Name: s.Name, Object: object, Node: s.Node, Container: v1.Container{Name: object}, Replicas: 1, Annotations: map[string]string{}, Above: map[string]string{}}
		p.Services = append(p.Services, made)
		p.ByName[s.Name] = made
	}
	p.shareOut()
	for _, s := range p.Services {
		s.decode()
	}
	return p
}

// sharing are the keys by which a service runs in another one's namespaces.
var sharing = []string{"network_mode", "pid", "ipc"}

// shareOut puts each service into a pod of its own, or into that of a service whose namespaces it shares.
func (p *Project) shareOut() {
	leads := map[*Service]*Service{}
	for _, s := range p.Services {
		for _, key := range sharing {
			if name, ok := strings.CutPrefix(s.Node.Get(key).Text(), "service:"); ok {
				f := s.Field(key)
				other := p.ByName[name]
				if other == nil {
					f.Failed("the service %q does not exist, or was left out", name)
					continue
				}
				leads[s] = other
				f.Changed("it runs in the pod of %s: containers of a pod share their network", other.Object)
			}
		}
	}
	for _, s := range p.Services {
		leader := s
		for i := 0; leads[leader] != nil; i++ {
			if leader = leads[leader]; i > len(p.Services) {
				s.Whole().Failed("services share each other's namespaces in a circle")
				leader = s
				break
			}
		}
		if leader.Pod == nil {
			leader.Pod = &Pod{Owner: leader}
		}
		s.Pod = leader.Pod
		s.Pod.Members = append(s.Pod.Members, s)
	}
}

// maxOfKey bounds how many values a key of a service has: nobody writes as many by hand, and each may be compared with all others.
const maxOfKey = 2000

// decode goes through the keys of the service.
func (s *Service) decode() {
	path := "services." + s.Name
	for _, e := range s.Node.Entries {
		f := Field{e.Value, s, path + "." + e.Key}
		if f.Line == 0 {
			f.Place = e.Place
		}
		if n := e.Value.Size(); n > maxOfKey {
			f.Failed("it has %d values; at most %d are converted", n, maxOfKey)
			continue
		}
		if convert, ok := fields[e.Key]; ok {
			if e.Value.Kind != tree.Null || e.Key == "command" || e.Key == "entrypoint" {
				convert(f)
			}
			continue
		}
		if why, ok := unkept[e.Key]; ok {
			f.Lost("%s", why)
			continue
		}
		if !strings.HasPrefix(e.Key, "x-") {
			f.Failed("a service of a compose file has no such field%s", didYouMean(e.Key))
		}
	}
}

func pointer[T any](v T) *T { return &v }
