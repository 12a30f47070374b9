package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests/spelling"
)

// kind is a type of objects that commands take and show.
type kind struct {
	// plural, singular and short are its names on the command line; group is its API's, and empty for the core's and Solopod's own.
	plural, singular string
	short            []string
	group            string
	// cluster: its objects lie in no namespace.
	cluster bool
	// fields are those that --field-selector takes, beside the object's name and namespace.
	fields []string

	list func(ctx context.Context, c *api.Client) ([]item, error)
	// watch calls each with every change, until ctx ends or each returns an error. It is nil where changes cannot be watched.
	watch func(ctx context.Context, c *api.Client, each func(change string, i item) error) error
	// table has a row for each object, without its namespace.
	table func(s *selection, list []item) table
	// told is what completion says of an object.
	told func(i item) string
	// describe writes down an object and what it asks the daemon beside that; nil means as YAML.
	describe func(ctx context.Context, c *api.Client, d *describer, i item) error
	// whole is what -o json prints of a list, where that is not v1.List.
	whole func(ctx context.Context, c *api.Client, list []item) (any, error)
	// nameOf is what -o name prints, where that is not TYPE/NAME.
	nameOf func(i item) string
	// warnings are what is to be said beside a list.
	warnings func(ctx context.Context, c *api.Client) ([]string, error)
}

// item is an object of a kind.
type item struct {
	meta   *metav1.ObjectMeta
	object any // a pointer
}

// resource is what -o name prints before an object's name.
func (k *kind) resource() string {
	if k.group == "" {
		return k.singular
	}
	return k.singular + "." + k.group
}

func (k *kind) name(i item) string {
	if k.nameOf != nil {
		return k.nameOf(i)
	}
	return k.resource() + "/" + i.meta.Name
}

// names are all that a type may be called, but for its group.
func (k *kind) names() []string { return append([]string{k.plural, k.singular}, k.short...) }

// is says whether a word, in small letters, means the kind: deploy, deployments, deployments.apps, deployments.v1.apps.
func (k *kind) is(word string) bool {
	name, group, qualified := strings.Cut(word, ".")
	if qualified && group != k.group && (k.group == "" || group != "v1."+k.group) && (group != "v1" || k.group != "") {
		return false
	}
	return slices.Contains(k.names(), name)
}

// kindNamed finds the kind that a word of the command line means.
func kindNamed(word string) (*kind, error) {
	small := strings.ToLower(word)
	for _, k := range kinds() {
		if k.is(small) {
			return k, nil
		}
	}
	plurals, names := []string{everything}, []string(nil)
	for _, k := range kinds() {
		plurals, names = append(plurals, k.plural), append(names, k.names()...)
	}
	if len(small) < 3 { // any other short name is near: only one that begins so is meant
		plurals = nil
		names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, small) })
	}
	if near := cmp.Or(spelling.Nearest(small, plurals), spelling.Nearest(small, names)); near != "" {
		return nil, fmt.Errorf("there is no type %q; did you mean %q?", word, near)
	}
	return nil, fmt.Errorf("there is no type %q; what there is: %s", word, typesText())
}

// typesText lists the types, as help and errors do.
func typesText() string {
	var out []string
	for _, k := range kinds() {
		name := k.plural
		if len(k.short) > 0 {
			name += " (" + strings.Join(k.short, ", ") + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// everything is the word for the types that run something, as kubectl's category of that name.
const everything = "all"

// kindsNamed finds the kinds of a word like pods, deploy,svc or all.
func kindsNamed(word string) (out []*kind, err error) {
	for _, name := range strings.Split(word, ",") {
		if strings.EqualFold(name, everything) {
			for _, k := range kinds() {
				if slices.Contains([]string{"pods", "services", "daemonsets", "deployments", "replicasets", "statefulsets", "jobs", "cronjobs"}, k.plural) {
					out = append(out, k)
				}
			}
			continue
		}
		k, err := kindNamed(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// requested is what a command is to act on: objects of a kind; without names all of them.
type requested struct {
	kind  *kind
	names []string
}

// requestedOf reads TYPE[,TYPE...] [NAME...] or TYPE/NAME..., in the order of the arguments.
func requestedOf(args []string) ([]requested, error) {
	if len(args) == 0 {
		return nil, errors.New("name a type; what there is: " + typesText() + ", and " + everything)
	}
	if strings.Contains(args[0], "/") {
		return requestedBySlash(args)
	}
	of, err := kindsNamed(args[0])
	if err != nil {
		return nil, err
	}
	var out []requested
	for _, k := range of {
		t := requested{kind: k}
		for _, name := range args[1:] {
			if word, rest, ok := strings.Cut(name, "/"); ok && k.plural != "images" { // describe pod pod/web
				if named, err := kindNamed(word); err != nil || named != k || rest == "" {
					return nil, fmt.Errorf("%q is no name of %s; either the type comes first, %s NAME, or each is TYPE/NAME", name, k.plural, args[0])
				}
				name = rest
			}
			t.names = append(t.names, name)
		}
		out = append(out, t)
	}
	return out, nil
}

func requestedBySlash(args []string) (out []requested, err error) {
	for _, arg := range args {
		word, name, ok := strings.Cut(arg, "/")
		if !ok || name == "" || word == "" {
			as := ""
			if len(args) > 1 {
				as = ", as the others are"
			}
			return nil, fmt.Errorf("%q is no TYPE/NAME%s", arg, as)
		}
		k, err := kindNamed(word)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(t requested) bool { return t.kind == k })
		if at < 0 {
			at, out = len(out), append(out, requested{kind: k})
		}
		out[at].names = append(out[at].names, name)
	}
	return out, nil
}
