// Package convert makes manifests of files that were written for others: docker compose, podman, kompose, former Kubernetes. It reads files
// through what it is given and writes nothing. What it makes is what "check" takes; what it changes, and what it cannot keep, it says.
package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/solopod/solopod/convert/compose"
	"github.com/solopod/solopod/convert/composefile"
	"github.com/solopod/solopod/convert/kube"
	"github.com/solopod/solopod/convert/note"
	"github.com/solopod/solopod/convert/service"
	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// Options say what is converted, and how.
type Options struct {
	// Files are converted. All compose files among them are one project, the later ones over the earlier ones.
	Files []string
	// Namespace is given to objects that have none; empty leaves them without.
	Namespace string
	// Project, EnvFiles, Profiles: of composefile.Options.
	Project            string
	EnvFiles, Profiles []string
	// WaitImage: of service.Options.
	WaitImage string
	// Read reads a file, Kind says what lies at a path of the machine, and Lookup has the environment.
	Read   func(path string) ([]byte, error)
	Kind   func(path string) (fs.FileMode, error)
	Lookup func(name string) (string, bool)
}

// Document is one object as text.
type Document struct {
	Kind, Name string
	// Text is YAML without a separator.
	Text []byte
}

// Secret says whether only root may read a file with the document.
func (d Document) Secret() bool { return d.Kind == "Secret" }

// Result is what became of the files.
type Result struct {
	Documents []Document
	// Notes are in the order of their places.
	Notes []note.Note
	// Failed: a note of that kind is among them, and the documents are not all that they should be.
	Failed bool
}

// Convert converts files. The error is for what cannot be read at all.
func Convert(o Options) (*Result, error) {
	var notes note.List
	var out []Document
	var composed []string
	for _, file := range o.Files {
		data, err := o.Read(file)
		if err != nil {
			return nil, err
		}
		isCompose, err := recognize(file, data)
		if err != nil {
			return nil, err
		}
		if isCompose {
			composed = append(composed, file)
			continue
		}
		docs, err := kube.Convert(file, filepath.Dir(file), data, &notes)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			text, err := ofNode(file, d, o.Namespace, &notes)
			if err != nil {
				return nil, err
			}
			out = append(out, Document{d.Kind, d.Name, text})
		}
	}
	if len(composed) > 0 {
		docs, err := ofCompose(composed, o, &notes)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	together(out, &notes)
	return &Result{out, notes.Sorted(), notes.Failed()}, nil
}

// recognize says whether a file is a compose file; otherwise it is one of Kubernetes.
func recognize(file string, data []byte) (bool, error) {
	docs, err := tree.Look(file, data)
	if err != nil {
		if t := bytes.TrimSpace(data); bytes.HasPrefix(t, []byte("[")) || bytes.Contains(t, []byte("\n[Container]")) || bytes.Contains(t, []byte("\n[Kube]")) {
			return false, fmt.Errorf("%s is a unit of systemd or a quadlet; of its container podman generate kube makes a file that can be converted, and a .kube unit names one", file)
		}
		return false, err
	}
	for _, d := range docs {
		switch {
		case d.Get("kind") != nil || d.Get("apiVersion") != nil:
			return false, nil
		case d.Get("services") != nil || d.Get("include") != nil:
			return true, nil
		case d.Get("volumes") != nil || d.Get("networks") != nil || d.Get("secrets") != nil || d.Get("configs") != nil:
			return true, nil // a file that lies over another one
		}
	}
	if len(docs) == 0 {
		return false, fmt.Errorf("%s is empty", file)
	}
	return false, fmt.Errorf("%s is neither a compose file, which has services, nor one of Kubernetes, which has apiVersion and kind", file)
}

func ofCompose(files []string, o Options, notes *note.List) ([]Document, error) {
	project, err := composefile.Load(composefile.Options{Files: files, EnvFiles: o.EnvFiles, Profiles: o.Profiles, Project: o.Project, Read: o.Read, Lookup: o.Lookup}, notes)
	if err != nil {
		return nil, err
	}
	overlooked(files, o, notes)
	var out []Document
	for _, object := range compose.Convert(project, service.Options{WaitImage: o.WaitImage, Read: o.Read, Kind: o.Kind}, notes) {
		if o.Namespace != "" {
			object.Value.SetNamespace(o.Namespace)
		}
		kind := object.Value.(runtime.Object).GetObjectKind().GroupVersionKind().Kind
		text, err := encode(object.Value)
		if err != nil {
			return nil, err
		}
		_, problems := decode.Decode("", text, decode.Options{})
		before := notes.Failed()
		for _, p := range problems.Errors() {
			if before {
				break // it may come of what was said already
			}
			notes.Addf(object.Place, note.Failed, object.Path, "in the %s %s that comes of it: %s: %s", kind, object.Value.GetName(), p.Path, p.Message)
		}
		out = append(out, Document{kind, object.Value.GetName(), text})
	}
	return out, nil
}

// overlooked tells of the file that docker compose reads beside compose.yaml when it is given none.
func overlooked(files []string, o Options, notes *note.List) {
	if len(files) != 1 {
		return
	}
	ext := filepath.Ext(files[0])
	beside := strings.TrimSuffix(files[0], ext) + ".override" + ext
	if _, err := o.Kind(beside); err == nil {
		notes.Addf(note.Place{File: files[0]}, note.Todo, "", "%s lies beside it and was not read; name it as well if it is to count", beside)
	}
}

// empty are fields that mean nothing when nothing is in them.
var empty = []string{"status", "resources", "strategy", "updateStrategy", "creationTimestamp", "securityContext", "metadata"}

// encode writes an object as YAML, without fields that say nothing.
func encode(object metav1.Object) ([]byte, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	prune(v)
	delete(v, "status")
	return sigsyaml.Marshal(v)
}

func prune(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			prune(value)
			if r := reflect.ValueOf(value); slices.Contains(empty, key) && (value == nil || r.Kind() == reflect.Map && r.Len() == 0) {
				delete(v, key)
			}
		}
	case []any:
		for _, item := range v {
			prune(item)
		}
	}
}

// ofNode writes a document of a Kubernetes file, and says what is still wrong with it, at its places in that file.
func ofNode(file string, d kube.Document, namespace string, notes *note.List) ([]byte, error) {
	if m := kube.Get(d.Node, "metadata"); namespace != "" && d.Kind != "Namespace" && m != nil && kube.Get(m, "namespace") == nil {
		kube.Set(m, "namespace", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: namespace, Line: m.Line})
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := errors.Join(e.Encode(d.Node), e.Close()); err != nil {
		return nil, err
	}
	_, problems := decode.Decode(file, b.Bytes(), decode.Options{})
	for _, p := range problems.Errors() {
		notes.Addf(note.Place{File: file, Line: kube.LineOf(d.Node, p.Path)}, note.Failed, p.Path, "%s", p.Message)
	}
	return b.Bytes(), nil
}

// together says what is wrong with the documents beside each other.
func together(docs []Document, notes *note.List) {
	if notes.Failed() || len(docs) == 0 {
		return
	}
	_, problems := decode.Decode("the result", Join(docs), decode.Options{})
	for _, p := range problems.Errors() {
		notes.Addf(note.Place{}, note.Failed, p.Path, "the objects do not fit beside each other: %s", p.Message)
	}
}

// Join is the text of a file with all documents.
func Join(docs []Document) []byte {
	var texts [][]byte
	for _, d := range docs {
		texts = append(texts, d.Text)
	}
	return bytes.Join(texts, []byte("---\n"))
}

// FileName is the name of a file with the document alone.
func (d Document) FileName() string {
	name := strings.ToLower(d.Kind) + "-" + strings.ReplaceAll(d.Name, "/", "-") + ".yaml"
	return manifests.PrintableName(strings.TrimLeft(name, "."))
}
